document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const button = document.getElementById(`key-${event.key}`);
  if (!button || !button.offsetParent) return;
  event.preventDefault();
  button.click();
});

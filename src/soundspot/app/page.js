(() => {
  const types = TYPES;
  const browserType = Object.getOwnPropertyDescriptor(Blob.prototype, "type").get;
  Object.defineProperty(File.prototype, "type", {
    configurable: true,
    get() {
      const type = browserType.call(this);
      if (/^(image|audio|video)\//.test(type)) return type;
      return types[this.name.split(".").pop().toLowerCase()] ?? type;
    },
  });
})();

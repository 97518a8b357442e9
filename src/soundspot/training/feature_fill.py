"""Fill a cache of features: read each image and sound once, encode its views, append them; what is there is checked.

A killed fill continues at the last block on disk, as files grow by whole rows. Each image or sound leaves a record of
what was read, so that data that changed since are noticed.
"""

import json
import os
import warnings
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from soundspot.config.schema import ViewsConfig
from soundspot.data.media.audio import crop_or_tile
from soundspot.errors import DataError, SoundspotError
from soundspot.models.folding import prepare_for_inference
from soundspot.models.staged import StagedEncoder, pack_features
from soundspot.training.clip_reader import UNANNOTATED, RawBatch, open_audio_at_rate
from soundspot.training.datamodule import RawBatchLoader, build_audio, build_images, identity_collate
from soundspot.training.feature_plan import FeaturePlan
from soundspot.utils.atomic_io import atomic_write, convert_os_errors, lock_folder
from soundspot.utils.hash_rng import Key, hash_key, uniform
from soundspot.utils.npy_writer import RowWriter, map_npy_rows
from soundspot.utils.safe_read import read_json_object

BLOCK_SIZE = 8  # images or sounds that are read, encoded and written at a time
NUM_CHECKED = 16  # items that are read again where only their content says whether they changed
FEATURES, GROUND_TRUTH, RECORDS, META = "features.npy", "ground_truth.npy", "records.npy", "meta.json"


@dataclass(frozen=True)
class ItemBlock:
    """Images or sounds as they were read.

    Attributes:
        raw: (1, b, i, s, s) images, or (variants, b, t) waveforms; the other modality is empty.
        checksums: CRC-32 of what was read of each.
    """

    raw: RawBatch
    checksums: list[int]

    def pin_memory(self) -> "ItemBlock":
        """Copy images and waveforms to pinned memory; torch's loader calls this.

        Returns:
            Block with the copied tensors.
        """
        return replace(self, raw=self.raw.pin_memory())


class ItemReader(Dataset[ItemBlock]):
    """Reader of the images or sounds of a plan, by their numbers.

    Args:
        plan: what is to be stored.
    """

    def __init__(self, plan: FeaturePlan) -> None:
        self.reader, self.items, self.modality = plan.reader, plan.items, plan.modality
        self.ranges, self.num_variants, self.seed = plan.ranges, plan.num_variants, plan.recipe.stored_views_seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, numbers: list[int]) -> ItemBlock | SoundspotError:
        """Read images or sounds for a loader.

        Args:
            numbers: b numbers of items.

        Returns:
            The block, or the error of one that cannot be read.
        """
        try:
            return self.read(numbers)
        except SoundspotError as error:
            return error

    def read(self, numbers: list[int]) -> ItemBlock:
        """Read images or sounds.

        Args:
            numbers: b numbers of items, not empty.

        Returns:
            Images of which all views can be made, or the windows of all variants of the sounds.

        Raises:
            InputError: one cannot be read.
        """
        images, waveforms = torch.empty((1, len(numbers), 0, 0, 0), dtype=torch.uint8), torch.empty(1, len(numbers), 0)
        if self.modality == "image":
            pixels = self.reader.empty_images(1, len(numbers))
            for i, number in enumerate(numbers):
                epoch, index = self.items.sources[number]
                self.reader.read_image(self.reader.epoch_data(epoch), index, pixels[0, i])
            checksums = [zlib.crc32(x.data) for x in pixels[0]]
            images = torch.from_numpy(pixels).permute(0, 1, 4, 2, 3)
        else:
            waveforms = torch.stack([self._read_windows(number) for number in numbers], dim=1)
            checksums = [zlib.crc32(waveforms[:, i].contiguous().numpy().data) for i in range(len(numbers))]
        # The key of an item's draws is its id; that of a variant's, which stands for the epoch, its number.
        ids = torch.tensor([int(hash_key(self.items.ids[number])) for number in numbers])
        return ItemBlock(RawBatch(images, waveforms, ids, epoch=0), checksums)

    def _read_windows(self, number: int) -> Float[Tensor, "variants t"]:
        spec, (epoch, index) = self.reader.front_end.audio, self.items.sources[number]
        rate = spec.rate or 16000
        audio = open_audio_at_rate(self.reader.epoch_data(epoch), index, rate)
        key = self.seed, Key.STORED_VARIANT, Key.AUDIO_WINDOW
        draws = uniform(key, [int(hash_key(self.items.ids[number]))], self.num_variants)[0]
        starts = {
            k: self.reader.window_start(view, audio.seconds, float(draws[k]))
            for view, variants in self.ranges.items()
            for k in variants
        }
        return torch.stack([crop_or_tile(audio, spec.seconds, starts[k]) for k in range(self.num_variants)])


def fill_features(
    plan: FeaturePlan, device: torch.device, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Compute the features of a plan that its folder lacks, after a check of those that it has.

    Args:
        plan: what is to be stored.
        device: device of the encoder.
        on_progress: callback of the number of images or sounds that are done, and of all.

    Raises:
        DataError: data have changed since their features were computed, or features exceed half precision.
        InputError: an image or a sound cannot be read.
        OutputError: the folder cannot be written (DiskFullError: no space is left).
    """
    folder, total, variants = plan.folder, len(plan.items), plan.num_variants
    with convert_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    side = plan.ground_truth_side
    with ExitStack() as stack:
        stack.enter_context(lock_folder(folder, wait=True))  # another run fills it or checks it
        writers = {FEATURES: stack.enter_context(_open_rows(plan, FEATURES, plan.row_length, np.float16))}
        if side:
            writers[GROUND_TRUTH] = stack.enter_context(_open_rows(plan, GROUND_TRUTH, side**2, np.uint8))
        records = stack.enter_context(RowWriter(folder / RECORDS, 3, np.int64, total))
        done = min(total, records.num_written, *(writer.num_written // variants for writer in writers.values()))
        if done and not _is_intact(folder, done, variants):
            done = 0
        if done < total and is_complete(folder):
            warnings.warn(
                f"{folder}: features of {done} of {total} {plan.modality} files are intact; the others are computed "
                "again",
                stacklevel=2,
            )
        records.truncate(done)
        for writer in writers.values():
            writer.truncate(done * variants)
        check_unchanged(plan, done)
        if done < total:
            _write_meta(plan, complete=False)
            encoder = deepcopy(plan.encoder).to(device)
            prepare_for_inference(encoder)
            numbers = list(range(done, total))
            loader = RawBatchLoader(
                ItemReader(plan),  # type: ignore[arg-type]
                batch_sampler=[numbers[i : i + BLOCK_SIZE] for i in range(0, len(numbers), BLOCK_SIZE)],
                num_workers=plan.recipe.train.workers,
                collate_fn=identity_collate,
                generator=torch.Generator(),  # else the loader draws from the generator of the training
            )
            for block in loader:
                assert isinstance(block, ItemBlock)
                first, b = records.num_written, len(block.checksums)
                features, ground_truth = encode_block(plan, encoder, block.raw.to(device))
                rows = features.numpy().reshape(b, -1)
                if not np.isfinite(rows).all():
                    raise DataError(
                        f"{plan.modality}.encoder: found features beyond 65504, the largest number of half precision, "
                        "so that they cannot be stored; leave feature_cache.folder out"
                    )
                writers[FEATURES].append(rows.reshape(b * variants, -1))
                if ground_truth is not None:
                    writers[GROUND_TRUTH].append(ground_truth.flatten(0, 1).flatten(1).numpy())
                for writer in writers.values():
                    writer.sync()
                stamps = [file_stamp(plan, number) for number in range(first, first + b)]
                checksums = [zlib.crc32(row.data) for row in rows]
                records.append(np.array([stamps, block.checksums, checksums], np.int64).T)
                on_progress(records.num_written, total)
        _write_meta(plan, complete=True)


def encode_block(
    plan: FeaturePlan, encoder: StagedEncoder, raw: RawBatch
) -> tuple[Float16[Tensor, "b variants f"], UInt8[Tensor, "b variants y x"] | None]:
    """Compute the features of all variants of a block.

    Args:
        plan: what is to be stored.
        encoder: the plan's encoder on the device of the block, in evaluation mode.
        raw: (1, b, i, s, s) images, or (variants, b, t) waveforms.

    Returns:
        (b, variants, f) packed features on the CPU, and (b, variants, y, x) ground truth: 255 throughout where an image
        is not annotated, else 254 is 1.
    """
    front_end, seed, side = plan.reader.front_end, plan.recipe.stored_views_seed, plan.ground_truth_side
    device = raw.images.device
    views = {number: view for view, numbers in reversed(plan.ranges.items()) for number in numbers}
    features, ground_truth = [], []
    for k in range(plan.num_variants):
        single_view = _as_base_view(plan.recipe.views, views[k])
        if plan.modality == "image":
            (inputs,), planes = build_images(replace(raw, epoch=k), front_end.image, single_view, seed)
            if planes is not None:
                ground_truth.append(encode_ground_truth(planes[0], side).cpu())
        else:
            variant = replace(raw, waveforms=raw.waveforms[k : k + 1], epoch=k)
            (inputs,) = build_audio(variant, front_end.audio, single_view, seed)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16-mixed"):
            packed = pack_features(encoder.forward_frozen(inputs), plan.channels)
        features.append(packed.flatten(1).cpu())
    return torch.stack(features, 1), torch.stack(ground_truth, 1) if ground_truth else None


def encode_ground_truth(planes: Float[Tensor, "b h w"], side: int) -> UInt8[Tensor, "b y x"]:
    """Reduce ground truth to the stored size and 8 bits.

    Args:
        planes: (b, h, w) in [0, 1]; nan throughout for images without annotation.
        side: side of the result in pixels.

    Returns:
        (b, side, side): 255 throughout for images without annotation, else 254 is 1.
    """
    reduced = F.adaptive_avg_pool2d(planes[:, None], side)[:, 0]
    return (reduced * (UNANNOTATED - 1)).round().nan_to_num(UNANNOTATED).to(torch.uint8)


def _as_base_view(views: ViewsConfig, view: str) -> ViewsConfig:
    """Return views of which the only one is made as `view` is."""
    is_strong = view == Key.AUGMENTED_VIEW
    return replace(views, multi_view=False, semantic=False, base_view="strong" if is_strong else views.base_view)


def _open_rows(plan: FeaturePlan, name: str, width: int, dtype: type) -> RowWriter:
    return RowWriter(plan.folder / name, width, dtype, len(plan.items) * plan.num_variants)


def _write_meta(plan: FeaturePlan, complete: bool) -> None:
    values = {"complete": complete, "shapes": plan.shapes, "depends_on": plan.dependencies}
    with atomic_write(plan.folder / META) as draft:
        draft.write_text(json.dumps(values, indent=1, default=str), encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Return True where a fill of a folder has come to its end.

    Args:
        folder: folder of the features of one plan.

    Returns:
        Whether its meta.json says so; False where it cannot be read.
    """
    with suppress(SoundspotError):
        return read_json_object(folder / META, "").get("complete") is True
    return False


def file_stamp(plan: FeaturePlan, number: int) -> int:
    """Return a number that changes when the file of an image or sound is written.

    Args:
        plan: plan with the items.
        number: number of the item.

    Returns:
        Hash of the size and the time of modification, above 0; 0 where the file is not known, or where ground truth is
        read from other files too.
    """
    epoch, index = plan.items.sources[number]
    data = plan.reader.epoch_data(epoch)
    path = (
        "" if plan.ground_truth_side else data.image_file(index) if plan.modality == "image" else data.audio_file(index)
    )
    try:
        stat = os.stat(path) if path else None
    except OSError:
        stat = None  # reading it says what is wrong
    return 0 if stat is None else 1 + zlib.crc32(f"{stat.st_size} {stat.st_mtime_ns}".encode())


def check_unchanged(plan: FeaturePlan, done: int) -> None:
    """Check that images or sounds are those whose features are stored.

    Files with another size or time of modification are read again; where files are not known, a few items are.

    Args:
        plan: plan whose folder is checked.
        done: number of items with features.

    Raises:
        DataError: the content of one differs from that of its features.
    """
    if not done:
        return
    records = map_npy_rows(plan.folder / RECORDS, done, writable=True)
    stamps = np.array([file_stamp(plan, number) for number in range(done)])
    unknown = np.flatnonzero(stamps == 0)
    sampled = unknown[np.unique(np.linspace(0, len(unknown) - 1, NUM_CHECKED).astype(int))] if len(unknown) else unknown
    reader = ItemReader(plan)
    for number in {*sampled.tolist(), *np.flatnonzero((stamps != records[:done, 0]) & (stamps != 0)).tolist()}:
        if reader.read([number]).checksums[0] != records[number, 1]:
            raise DataError(
                f"{plan.folder}: the {plan.modality} {plan.items.ids[number]} has changed since its features were "
                "computed, expected the data that they are of. Delete this folder, and they are computed anew, or name "
                "another one by `feature_cache.folder`"
            )
        records[number, 0] = stamps[number]


def _is_intact(folder: Path, done: int, variants: int) -> bool:
    """Compare a few of the features with their checksums."""
    records = map_npy_rows(folder / RECORDS, done)
    features = map_npy_rows(folder / FEATURES, done * variants)
    numbers = np.unique(np.linspace(0, done - 1, NUM_CHECKED).astype(int)).tolist()
    rows = (np.ascontiguousarray(features[number * variants : (number + 1) * variants]) for number in numbers)
    return all(zlib.crc32(row.data) == records[number, 2] for number, row in zip(numbers, rows, strict=True))

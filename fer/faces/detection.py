"""Where the face is, and how it is cut out: MTCNN, the choice among several faces, one resampling.

Coordinates are pixels of the source picture, edges (not centres): a picture of width 100 spans 0 to 100.
MTCNN is facenet-pytorch's; its weights come inside that package, so nothing is fetched. It runs on one
picture at a time on the CPU with one thread, so that the result does not depend on the machine's load.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch
    from facenet_pytorch import MTCNN

Box = tuple[float, float, float, float]  # left, top, right, bottom
Policy = Literal["box", "largest", "central"]

# facenet-pytorch's defaults: the smallest face looked for, and the step of the picture pyramid.
SMALLEST_FACE, PYRAMID_STEP = 20.0, 0.709
# Smaller views never reach MTCNN: with no step of its pyramid inside, it crashes in torch.cat.
SMALLEST_VIEW = 40
# Whole pictures are enlarged to this shorter side (a 100-px face crop is found in 100 instead of 99 of
# 100 cases) and reduced to this longer side (12 megapixels take seconds, and faces of 2 % are enough).
SHORT_SIDE, LONG_SIDE = 160, 1280
# Around a given box: its longer side becomes this many pixels, and the view is so much wider in all.
BOX_SIDE, BOX_SURROUNDINGS = 128, 1.0
# More samples per output pixel cost time and show no more.
MOST_SAMPLES = 16


@dataclass(frozen=True)
class DetectedFace:
    """One detection: `box`, `confidence` in 0..1, centres of the eyes (left in the picture, right)."""

    box: Box
    confidence: float
    eyes: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Crop:
    """An upright or turned square of the source picture.

    Centre and side in source pixels; `angle` in degrees: how far the square is turned clockwise, as seen
    in the picture.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @staticmethod
    def around(box: Box, margin: float = 0.0, angle: float = 0.0) -> Crop:
        """The square around the middle of `box`: (1 + `margin`) times its longer side."""
        left, top, right, bottom = box
        side = max(right - left, bottom - top) * (1 + margin)
        return Crop((left + right) / 2, (top + bottom) / 2, side, angle)

    @property
    def box(self) -> Box:
        """The square before it is turned."""
        half = self.side / 2
        return self.x - half, self.y - half, self.x + half, self.y + half

    def beyond(self, width: int, height: int) -> float:
        """Share of the turned square that lies outside a picture of `width` x `height` pixels, 0 to 1."""
        import cv2

        corners = cv2.boxPoints(((self.x, self.y), (self.side, self.side), self.angle))
        frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        inside, _ = cv2.intersectConvexConvex(corners, frame)
        return float(np.clip(1 - inside / self.side**2, 0, 1))


# ---------------------------------------------------------------- finding faces


@lru_cache(maxsize=1)
def _detector() -> MTCNN:
    """facenet-pytorch's MTCNN, arranged so that it takes 70 % of its time: boxes move by less than 0.001 px.

    Half of its time went into max pooling: torch's is slow for planes, fast where channels lie together.
    """
    import torch
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, select_largest=False, device=None)
    detector.pnet.pool1.forward = _halved
    for network in (detector.rnet, detector.onet):
        network.to(memory_format=torch.channels_last)
    return detector


def _halved(maps: torch.Tensor) -> torch.Tensor:
    """The largest of each 2×2 values, as MaxPool2d(2, ceil_mode=True), of planes [B, C, H, W]."""
    import torch
    from torch.nn.functional import pad

    maps = pad(maps, (0, maps.shape[3] % 2, 0, maps.shape[2] % 2), value=-math.inf)
    rows = torch.maximum(maps[..., 0::2, :], maps[..., 1::2, :])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_faces(
    pixels: np.ndarray,
    threshold: float,
    region: Box | None = None,
    scale: float = 1.0,
    smallest: float = 20.0,
) -> list[DetectedFace]:
    """Every face of confidence `threshold` or more in `region` (None: all) of uint8 [H, W] or [H, W, 3].

    The region is enlarged by `scale` before MTCNN looks for faces of about `smallest` px and more in the
    enlarged view. A view narrower than that, or than SMALLEST_VIEW, holds no face: MTCNN never sees it.
    """
    import cv2

    height, width = pixels.shape[:2]
    left, top, right, bottom = _inside(region or (0, 0, width, height), width, height)
    size = round((right - left) * scale), round((bottom - top) * scale)
    start = pyramid_start(smallest)
    if min(size) < max(start, SMALLEST_VIEW):
        return []
    view = cv2.resize(
        pixels[top:bottom, left:right], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    if view.ndim == 2:
        view = cv2.cvtColor(view, cv2.COLOR_GRAY2RGB)
    back = np.array([(right - left) / size[0], (bottom - top) / size[1]])
    with _one_thread():
        detector = _detector()
        detector.min_face_size = start
        boxes, confidences, points = detector.detect(_as_planes(view), landmarks=True)
    if boxes is None:
        return []
    corners = (np.asarray(boxes, dtype=float).reshape(-1, 2, 2) * back + (left, top)).tolist()
    eyes = (np.asarray(points, dtype=float)[:, :2] * back + (left, top)).tolist()
    return [
        DetectedFace((*first, *last), float(sure), (tuple(left_eye), tuple(right_eye)))
        for (first, last), sure, (left_eye, right_eye) in zip(corners, confidences, eyes, strict=True)
        if sure >= threshold
    ]


def _as_planes(pixels: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] for MTCNN, whose pyramid is made faster when each colour lies by itself in memory."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).permute(1, 2, 0)


def _inside(region: Box, width: int, height: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = region
    left, top = max(math.floor(left), 0), max(math.floor(top), 0)
    return left, top, max(min(math.ceil(right), width), left), max(min(math.ceil(bottom), height), top)


def pyramid_start(smallest: float) -> float:
    """The largest step of MTCNN's own pyramid (20 px, 28, 40, …) not above `smallest`, at least 20 px.

    Starting there gives the detections of the full pyramid without its finest, slowest levels.
    """
    steps = math.floor(math.log(max(smallest, SMALLEST_FACE) / SMALLEST_FACE, 1 / PYRAMID_STEP) + 1e-9)
    return SMALLEST_FACE / PYRAMID_STEP**steps


def find_in_picture(pixels: np.ndarray, threshold: float) -> list[DetectedFace]:
    """Faces anywhere in a picture, brought to SHORT_SIDE or more and LONG_SIDE or less first."""
    short, long = sorted(pixels.shape[:2])
    scale = min(max(1.0, SHORT_SIDE / short), LONG_SIDE / long)
    return find_faces(pixels, threshold, scale=scale, smallest=SMALLEST_FACE * scale)


def find_near_box(pixels: np.ndarray, box: Box, threshold: float) -> list[DetectedFace]:
    """Faces around a given box that agree with it, looked for at about the box's size."""
    side = max(box[2] - box[0], box[3] - box[1])
    region = Crop.around(box, BOX_SURROUNDINGS).box
    faces = find_faces(pixels, threshold, region, BOX_SIDE / side, smallest=BOX_SIDE / 3)
    return [face for face in faces if agree(face.box, box)]


# ---------------------------------------------------------------- choosing one


def overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(first) + _area(second) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def agree(found: Box, given: Box) -> bool:
    """Whether a detection is the face a given box means.

    It is with an overlap of 0.3 or more, or when its centre lies in the middle half of the box and its area
    is between a quarter and four times the box's (boxes differ in how much hair and neck they hold).
    """
    if overlap(found, given) >= 0.3:
        return True
    width, height = given[2] - given[0], given[3] - given[1]
    aside = abs(found[0] + found[2] - given[0] - given[2]) / 2
    above = abs(found[1] + found[3] - given[1] - given[3]) / 2
    return aside <= width / 4 and above <= height / 4 and 0.25 <= _area(found) / _area(given) <= 4


def choose_face(
    faces: Sequence[DetectedFace], policy: Policy, centre: tuple[float, float], box: Box | None
) -> DetectedFace | None:
    """One face of several: the largest, the one nearest to `centre`, or the best match of `box`.

    Policy "box" without a box is "central". None when there is no face.
    """
    if not faces:
        return None
    if policy == "largest":
        return max(faces, key=lambda face: _area(face.box))
    if policy == "box" and box is not None:
        return max(faces, key=lambda face: overlap(face.box, box))
    return min(faces, key=lambda face: _distance(face.box, centre))


def _distance(box: Box, point: tuple[float, float]) -> float:
    return math.hypot((box[0] + box[2]) / 2 - point[0], (box[1] + box[3]) / 2 - point[1])


# ---------------------------------------------------------------- cutting it out


def eye_angle(face: DetectedFace) -> float:
    """Degrees clockwise from level to the line between the eyes.

    0 where the eyes nearly cover each other (a profile): that line then says nothing about the head's roll.
    """
    (left_x, left_y), (right_x, right_y) = face.eyes
    if math.hypot(right_x - left_x, right_y - left_y) < 0.2 * (face.box[2] - face.box[0]):
        return 0.0
    return math.degrees(math.atan2(right_y - left_y, right_x - left_x))


def cut_out(pixels: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Turn, crop and resize in one resampling: uint8 [H, W] or [H, W, 3] to [size, size] or [size, size, 3].

    Cubic when enlarging. When shrinking, bilinear samples at about source resolution are averaged over
    each output pixel (area interpolation, which warpAffine alone does not know). Beyond its edges the
    picture is mirrored: repeated edge pixels would draw streaks. An upright crop of exactly `size` pixels
    comes out unchanged.
    """
    import cv2

    samples = min(max(math.ceil(crop.side / size - 1e-6), 1), MOST_SAMPLES)
    step = crop.side / (size * samples)
    turn = np.radians(crop.angle)
    across = step * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # cv2 counts from pixel centres: output pixel i is at i + 0.5 of the edge coordinates used here.
    middle = size * samples / 2 - 0.5
    start = np.array([crop.x, crop.y]) - 0.5 - across @ (middle, middle)
    warped = cv2.warpAffine(
        pixels,
        np.column_stack([across, start]),
        (size * samples, size * samples),
        flags=(cv2.INTER_CUBIC if samples == 1 and step < 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return warped if samples == 1 else cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)

"""How close a reduced picture comes to an ideal reduction.

The ideal: decoded whole by Pillow, brought to sRGB by its profile (lcms), turned upright, laid on white, and reduced by a
Lanczos filter of three lobes in float64, rounded once at the end. It comes in two kinds: of the samples as they are, which
is what nearly every program reduces, and of linear light, which is what a lens would do.
"""

import hashlib
import io
import os

import numpy
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin
from skimage.metrics import structural_similarity


def to_rgb(picture, use_profile=True):
    """The first frame of an open picture: sRGB, upright, on white, 8 bits a sample."""
    profile = picture.info.get("icc_profile") if use_profile else None
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode == "I":
        wide = numpy.asarray(picture).astype(numpy.float64)
        # One gray of all may stand for what is transparent.
        wide[wide == picture.info.get("transparency")] = 65535
        picture = Image.fromarray(numpy.clip(wide / 257 + 0.5, 0, 255).astype(numpy.uint8))
    if profile and picture.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile, or one of another colour space
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def decode(path, use_profile=True):
    """A file's picture as 8-bit RGB samples."""
    with Image.open(path) as picture:
        return numpy.asarray(to_rgb(picture, use_profile))


def kind(path):
    """How a file keeps its picture: `PNG`, `gray`, or the chroma of a JPEG, such as `4:2:0`."""
    with Image.open(path) as picture:
        if picture.format != "JPEG":
            return picture.format
        if picture.mode == "L":
            return "gray"
        return {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(picture), "JPEG")


def lanczos(x):
    """Lanczos's window of three lobes."""
    return numpy.where(numpy.abs(x) < 3, numpy.sinc(x) * numpy.sinc(x / 3), 0.0)


def weights(source, target):
    """For each of `target` samples, the `source` samples it is made of and their weights, which sum to 1. At the edges
    the filter is cut."""
    scale = source / target
    stretch = max(scale, 1.0)
    taps = int(numpy.ceil(stretch * 3)) * 2 + 1
    centre = (numpy.arange(target) + 0.5) * scale
    first = numpy.floor(centre - stretch * 3).astype(int)
    index = first[:, None] + numpy.arange(taps)
    weight = lanczos((index + 0.5 - centre[:, None]) / stretch)
    weight[(index < 0) | (index >= source)] = 0
    return numpy.clip(index, 0, source - 1), weight / weight.sum(axis=1, keepdims=True)


def reduce_rows(samples, target):
    """Resamples the first axis in float64."""
    index, weight = weights(samples.shape[0], target)
    out = numpy.zeros((target, *samples.shape[1:]))
    for tap in range(index.shape[1]):
        out += samples[index[:, tap]] * weight[:, tap].reshape(-1, *[1] * (samples.ndim - 1))
    return out


def to_linear(samples):
    """sRGB samples, 0 to 255, to light, 0 to 1."""
    table = numpy.arange(256) / 255
    table = numpy.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    return table[samples]


def to_srgb(light):
    """Light, 0 to 1, to sRGB samples, 0 to 255, not rounded."""
    light = numpy.clip(light, 0, 1)
    return 255 * numpy.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def ideal(samples, size, linear):
    """The ideal reduction of 8-bit RGB samples to `size`, width and height."""
    width, height = size
    out = numpy.empty((height, width, 3), numpy.uint8)
    # One channel at a time: a camera's picture in float64 is large.
    for channel in range(3):
        plane = samples[..., channel]
        plane = to_linear(plane) if linear else plane.astype(numpy.float64)
        plane = reduce_rows(reduce_rows(plane, height).T, width).T
        plane = to_srgb(plane) if linear else plane
        out[..., channel] = numpy.clip(numpy.floor(plane + 0.5), 0, 255)
    return out


def ideals(path, size, folder):
    """Both ideal reductions of a file, kept in `folder` for the next time."""
    with open(path, "rb") as file, open(os.path.abspath(__file__), "rb") as code:
        key = hashlib.sha256(file.read() + code.read()).hexdigest()[:16]
    os.makedirs(folder, exist_ok=True)
    kinds = {}
    samples = None
    for kind in ("gamma", "linear"):
        kept = os.path.join(folder, f"{os.path.basename(path)}-{size[0]}x{size[1]}-{kind}-{key}.png")
        if os.path.exists(kept):
            kinds[kind] = decode(kept)
            continue
        samples = decode(path) if samples is None else samples
        kinds[kind] = ideal(samples, size, kind == "linear")
        Image.fromarray(kinds[kind]).save(kept + ".part", "PNG", compress_level=1)
        os.replace(kept + ".part", kept)
    return kinds


def crop(samples, box):
    left, top, right, bottom = box
    return samples[top:bottom, left:right]


def luma(samples):
    """Brightness by BT.601, 0 to 255, in float64."""
    return samples.astype(numpy.float64) @ (0.299, 0.587, 0.114)


def psnr(one, other):
    """Peak signal-to-noise ratio over the three channels of 8-bit RGB, in dB; infinite for equal pictures."""
    error = numpy.mean((one.astype(numpy.float64) - other) ** 2)
    return float("inf") if error == 0 else float(10 * numpy.log10(255**2 / error))


def ssim(one, other):
    """Structural similarity of the luma, with the Gaussian window of 1.5 pixels of Wang et al. (2004); 1 for equal ones."""
    value = structural_similarity(
        luma(one), luma(other), data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(value)


def contrast(one, other):
    """How much of the other's contrast is left: the ratio of the standard deviations of the luma."""
    return float(numpy.std(luma(one)) / numpy.std(luma(other)))

"""Reduces pictures with libvips or Pillow, as a program would that has read their documentation.

`worker.py vips|pillow` answers each line of JSON {file, width, height, profile, orient, out} with one {ms, bytes}: CPU time
of all threads, the file already in memory. `worker.py vips|pillow --once REQUEST` answers one request with the memory of a
fresh process: {over_start, code}, as benches/prepare counts them.
"""

import io
import json
import sys

import procfs


def vips():
    """libvips's own way to reduce a file."""
    import pyvips

    pyvips.cache_set_max(0)

    def reduce(data, request):
        # Without an embedded profile there is nothing to convert, and the call is the plain one.
        options = {"output_profile": "srgb"} if request["profile"] else {}
        picture = pyvips.Image.thumbnail_buffer(
            data, request["width"], height=request["height"], size="force", **options
        )
        return picture.jpegsave_buffer(Q=90, keep="none", subsample_mode="on")

    return reduce


def pillow():
    """Pillow's: a JPEG is decoded at a half, a quarter or an eighth (`draft`) where that is enough."""
    from PIL import Image, ImageCms, ImageOps

    srgb = ImageCms.createProfile("sRGB")

    def reduce(data, request):
        size = (request["width"], request["height"])
        picture = Image.open(io.BytesIO(data))
        turned = request["orient"] >= 5
        picture.draft("RGB", size[::-1] if turned else size)
        if picture.mode not in ("L", "RGB"):
            picture = picture.convert("RGB")
        reduced = picture.resize(size[::-1] if turned else size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        if request["profile"]:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
            reduced = ImageCms.profileToProfile(reduced, profile, srgb)
        if request["orient"] > 1:
            reduced.getexif()[0x0112] = request["orient"]
            reduced = ImageOps.exif_transpose(reduced)
        out = io.BytesIO()
        reduced.save(out, "JPEG", quality=90, subsampling="4:2:0", exif=b"", icc_profile=None)
        return out.getvalue()

    return reduce


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    reduce = {"vips": vips, "pillow": pillow}[sys.argv[1]]()
    if len(sys.argv) > 2:
        request = json.loads(sys.argv[3])
        procfs.reset_peak()
        resident, _, code = procfs.memory()
        reduce(read(request["file"]), request)
        _, peak, code_now = procfs.memory()
        print(json.dumps({"over_start": peak - resident, "code": code_now - code}))
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            data = read(request["file"])
            before = procfs.cpu_ms()
            reduced = reduce(data, request)
            answer = {"ms": procfs.cpu_ms() - before, "bytes": len(reduced)}
            if request.get("out"):
                with open(request["out"], "wb") as out:
                    out.write(reduced)
        except Exception as error:  # whatever it is, the other pictures are still to be measured
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()

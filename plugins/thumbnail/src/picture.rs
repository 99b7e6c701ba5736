//! Decoding, resizing and encoding, with bounds on what a picture may cost.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::png::{CompressionType, FilterType, PngEncoder},
    error::LimitErrorKind,
    imageops,
    metadata::Orientation,
};

use crate::{
    Refusal,
    options::{Fit, Options},
};

/// Longest side of a picture to decode, in pixels.
const SIDE_MAX: u32 = 10_000;
/// Most memory one picture may need while it is decoded. A file of a few bytes can ask for
/// gigabytes; the deployment's memory limit would end the replica, this only refuses the request.
const DECODED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The thumbnail of a picture file, as PNG.
pub fn shrink(file: &[u8], options: &Options) -> Result<Vec<u8>, Refusal> {
    let (picture, orientation) = decode(file)?;
    // Turning the small picture instead of the large one saves a second copy of the latter.
    let mut small = fit(picture, &turned(*options, orientation));
    small.apply_orientation(orientation);
    let mut png = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive);
    small.write_with_encoder(encoder).map_err(|error| (500, format!("cannot encode: {error}")))?;
    Ok(png)
}

fn decode(file: &[u8]) -> Result<(DynamicImage, Orientation), Refusal> {
    match image::guess_format(file) {
        Ok(ImageFormat::Png | ImageFormat::Jpeg) => {}
        Ok(_) | Err(_) => return Err((415, "the body is neither PNG nor JPEG".into())),
    }
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| (400, format!("cannot read the picture: {error}")))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    let orientation = decoder.orientation().map_err(refusal)?;
    if decoder.total_bytes() > DECODED_BYTES_MAX {
        let (width, height) = decoder.dimensions();
        return Err((413, format!("a picture of {width} x {height} pixels is too large")));
    }
    Ok((DynamicImage::from_decoder(decoder).map_err(refusal)?, orientation))
}

fn refusal(error: ImageError) -> Refusal {
    match error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError => {
                (413, format!("the picture has a side over {SIDE_MAX} pixels"))
            }
            _ => (413, "the picture needs too much memory".into()),
        },
        ImageError::Unsupported(error) => (415, format!("cannot read this kind: {error}")),
        other => (400, format!("cannot decode the picture: {other}")),
    }
}

/// The box as the file's pixels lie, before the orientation is applied.
fn turned(options: Options, orientation: Orientation) -> Options {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => {
            Options { width: options.height, height: options.width, ..options }
        }
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => options,
    }
}

fn fit(picture: DynamicImage, options: &Options) -> DynamicImage {
    let (width, height) = (options.width, options.height);
    match options.fit {
        Fit::Contain if picture.width() <= width && picture.height() <= height => picture,
        Fit::Contain => picture.thumbnail(width, height),
        Fit::Cover => {
            let (x, y, cut_width, cut_height) = middle(&picture, width, height);
            let cut = imageops::crop_imm(&picture, x, y, cut_width, cut_height);
            imageops::thumbnail(&*cut, width, height).into()
        }
        Fit::Fill => picture.thumbnail_exact(width, height),
    }
}

/// The largest part in the middle of `picture` that has the shape of the box: x, y, width, height.
fn middle(picture: &DynamicImage, width: u32, height: u32) -> (u32, u32, u32, u32) {
    let (whole_width, whole_height) = (u64::from(picture.width()), u64::from(picture.height()));
    let (width, height) = (u64::from(width), u64::from(height));
    let cut_width = (whole_height * width / height).clamp(1, whole_width);
    let cut_height = (whole_width * height / width).clamp(1, whole_height);
    let narrow = |pixels: u64| u32::try_from(pixels).expect("it is at most a side of the picture");
    (
        narrow((whole_width - cut_width) / 2),
        narrow((whole_height - cut_height) / 2),
        narrow(cut_width),
        narrow(cut_height),
    )
}

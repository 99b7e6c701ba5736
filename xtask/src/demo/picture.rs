//! A picture as a camera might make it: smooth areas, edges and noise, 1600 by 1200 pixels.

use anyhow::{Result, ensure};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1200;

/// The picture as a PNG file of a few megabytes.
pub fn png() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("writing to memory cannot fail");
    let mut noise = 0x2545_f491_u32;
    let pixels: Vec<u8> = (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pixel(x, y, noise >> 29)
        })
        .collect();
    writer.write_image_data(&pixels).expect("there are as many pixels as the header says");
    drop(writer);
    file
}

/// A sun over hills, with a little `noise` (0 to 7).
fn pixel(x: u32, y: u32, noise: u32) -> [u8; 3] {
    let (dx, dy) = (x.abs_diff(1200), y.abs_diff(300));
    let hill = 800 - triangle(x, 500) / 2 - triangle(x + 230, 170) / 3;
    let [r, g, b] = if dx * dx + dy * dy < 120 * 120 {
        [250, 220, 120]
    } else if y < hill {
        [90 + y / 8, 140 + y / 12, 230 - y / 16]
    } else {
        [40 + (y - hill) / 6, 110 + (y - hill) / 9, 50]
    };
    [r, g, b].map(|color| u8::try_from(color + noise).unwrap_or(u8::MAX))
}

fn triangle(x: u32, period: u32) -> u32 {
    let phase = x % (2 * period);
    if phase < period { phase } else { 2 * period - phase }
}

/// Width and height of a PNG file.
pub fn size(file: &[u8]) -> Result<(u32, u32)> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info()?;
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    let mut rows = 0;
    while reader.next_row()?.is_some() {
        rows += 1; // Reading all of it shows that the file is whole.
    }
    ensure!(rows >= height, "the picture ends after {rows} of {height} rows");
    Ok((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_can_be_read_again() {
        let file = png();
        assert_eq!(size(&file).unwrap(), (WIDTH, HEIGHT));
        assert!(size(&file[..file.len() / 2]).is_err());
    }
}

//! Pictures made of pixels.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::PlotError;

/// The widest picture: four times as wide as a plot is meant to be seen.
const WIDTH_MAX: u32 = 4800;

/// Draws a plot, as [`svg`](super::svg) makes it, as a PNG that is `width` pixels wide, at most
/// 4800. The font comes with the program, so every machine draws the same.
///
/// # Errors
///
/// [`PlotError::Width`] if there is no such width; others if `svg` is not a plot of ours.
pub fn png(svg: &str, width: u32) -> Result<Vec<u8>, PlotError> {
    if !(1..=WIDTH_MAX).contains(&width) {
        return Err(PlotError::Width { width, most: WIDTH_MAX });
    }
    let mut fonts = fontdb::Database::new();
    fonts.load_font_source(fontdb::Source::Binary(Arc::new(dejavu::sans::regular())));
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| PlotError::Read(error.to_string()))?;
    let scale = width as f32 / tree.size().width();
    let height = (tree.size().height() * scale).ceil().max(1.0) as u32;
    let mut pixels = Pixmap::new(width, height).ok_or(PlotError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PlotError::Encode(error.to_string()))
}

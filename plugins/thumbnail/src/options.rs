//! The parameters of one thumbnail.

use crate::Refusal;

/// Longest side when neither width nor height is given, in pixels.
const SIDE_DEFAULT: u32 = 128;
/// Longest side to make, in pixels: larger ones are no thumbnails.
const SIDE_MAX: u32 = 2048;

/// The box the picture goes into. A side that is not given is free.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub width: u32,
    pub height: u32,
    pub fit: Fit,
}

/// What happens when the picture and its box have different shapes.
#[derive(Debug, Clone, Copy)]
pub enum Fit {
    Contain,
    Cover,
    Fill,
}

impl Options {
    /// Reads the parameters; `query` answers the text of one by name.
    pub fn parse(query: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        let fit = match query("fit").as_deref() {
            None | Some("contain") => Fit::Contain,
            Some("cover") => Fit::Cover,
            Some("fill") => Fit::Fill,
            Some(other) => {
                return Err((400, format!("fit={other} is not one of contain, cover, fill")));
            }
        };
        let (width, height) = match (side("width", &query)?, side("height", &query)?) {
            (None, None) => (SIDE_DEFAULT, SIDE_DEFAULT),
            (width, height) => (width.unwrap_or(SIDE_MAX), height.unwrap_or(SIDE_MAX)),
        };
        Ok(Self { width, height, fit })
    }
}

fn side(name: &str, query: impl Fn(&str) -> Option<String>) -> Result<Option<u32>, Refusal> {
    let Some(text) = query(name) else { return Ok(None) };
    match text.parse() {
        Ok(pixels @ 1..=SIDE_MAX) => Ok(Some(pixels)),
        Ok(_) | Err(_) => Err((400, format!("{name}={text} is not a number from 1 to {SIDE_MAX}"))),
    }
}

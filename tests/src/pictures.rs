//! Pictures that the product draws: are they what their names say?

/// Fails unless `text` is an SVG whose tags are closed in the right order.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn check_svg(text: &str) {
    assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>"), "no SVG: {text:.200}");
    let mut open = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "a stray > in {before:?}");
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        let name = |tag: &str| tag.split_whitespace().next().unwrap_or_default().to_owned();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(name(closed)), "closed in order"),
            None if tag.ends_with('/') || tag.starts_with(['?', '!']) => {}
            None => open.push(name(tag)),
        }
    }
    assert_eq!(open, [""; 0], "left open");
}

/// Width and height of a PNG that is decoded to its end, and in which not all pixels are alike.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn check_png(bytes: &[u8]) -> (u32, u32) {
    let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    let mut reader = decoder.read_info().expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits into memory")];
    let info = reader.next_frame(&mut pixels).expect("it is a whole PNG");
    let pixel = info.color_type.samples();
    let mut all = pixels[..info.buffer_size()].chunks_exact(pixel);
    let first = all.next().expect("it has a pixel");
    assert!(all.any(|other| other != first), "it is empty");
    (info.width, info.height)
}

#[cfg(test)]
mod tests {
    use super::check_svg;

    #[test]
    fn closed_tags_pass() {
        check_svg("<?xml version=\"1.0\"?>\n<svg a=\"1\"><g><path d=\"\"/></g>x</svg>\n");
    }

    #[test]
    #[should_panic(expected = "closed in order")]
    fn crossed_tags_do_not() {
        check_svg("<svg><g><b></g></b></svg>");
    }
}

//! CSV that the product writes, as text.

use std::collections::BTreeMap;

/// The rows of a CSV without quotes, each by the names in its header.
///
/// # Panics
/// When there is no header, or a row has another number of cells.
#[track_caller]
pub fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("there is a header").split(',').collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), header.len(), "{line:?} under {header:?}");
            header.iter().copied().zip(cells).collect()
        })
        .collect()
}

//! Turns texts into vectors: texts that share many sequences of three letters get near ones.
//!
//! Each sequence is hashed into one of many features, and the counts of the features are multiplied
//! with a random matrix that makes short vectors of them. Such a projection keeps angles nearly as
//! they are (Johnson and Lindenstrauss, 1984), so it needs no training.

/// Features that sequences are hashed into.
const FEATURES: usize = 8192;
/// Numbers in a vector.
const DIMENSIONS: usize = 64;
/// Letters in a sequence.
const LETTERS: usize = 3;

pub type Vector = [f32; DIMENSIONS];

pub struct Model {
    /// What a feature adds to each dimension, by feature.
    weights: Vec<Vector>,
}

impl Model {
    pub fn new() -> Self {
        let weight = |at: usize| if hash(&at.to_le_bytes()) & 1 == 0 { 1.0 } else { -1.0 };
        let row =
            |feature: usize| std::array::from_fn(|column| weight(feature * DIMENSIONS + column));
        Self { weights: (0..FEATURES).map(row).collect() }
    }

    /// The vectors of all texts, in one pass over the weights.
    pub fn embed(&self, texts: &[&str]) -> Vec<Vector> {
        let counts: Vec<_> = texts.iter().map(|text| count(text)).collect();
        let mut vectors = vec![[0.0; DIMENSIONS]; texts.len()];
        for (feature, row) in self.weights.iter().enumerate() {
            for (vector, counts) in vectors.iter_mut().zip(&counts) {
                let count = counts[feature];
                if count != 0.0 {
                    vector.iter_mut().zip(row).for_each(|(sum, weight)| *sum += count * weight);
                }
            }
        }
        vectors
    }
}

/// How often each feature occurs in a text, whatever the case of its letters.
fn count(text: &str) -> Vec<f32> {
    let mut counts = vec![0.0; FEATURES];
    let letters = text.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
    for sequence in letters.windows(LETTERS) {
        let bytes: Vec<u8> =
            sequence.iter().flat_map(|letter| (*letter as u32).to_le_bytes()).collect();
        counts[hash(&bytes) as usize % FEATURES] += 1.0;
    }
    counts
}

/// FNV-1a, with a last step that spreads it to the low bits as well.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    hash ^ (hash >> 32) ^ (hash >> 47)
}

/// The cosine of the angle between two vectors; 0 when one of them has no direction.
pub fn cosine(a: &Vector, b: &Vector) -> f32 {
    let dot = |a: &Vector, b: &Vector| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { 0.0 } else { dot(a, b) / lengths }
}

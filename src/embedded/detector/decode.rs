use super::{Detection, DetectorError, PixelBox, classes::CLASSES, preprocess::SIDE};

/// Detections under this score are left out.
const SCORE_THRESHOLD: f32 = 0.35;
/// Of two boxes of a class that overlap more than this, the weaker is left out.
const OVERLAP_THRESHOLD: f32 = 0.6;
/// Most candidates per class that go into suppression, so that no picture makes it slow.
const MAX_CANDIDATES: usize = 1000;
/// Bins of the distribution over one side's distance.
const BINS: usize = 11;
const STRIDES: [usize; 3] = [8, 16, 32];

/// One of the model's outputs: rows of scores, or rows of four distributions.
pub(super) struct Rows {
    pub width: usize,
    pub values: Vec<f32>,
}

/// Reads the head of Generalized Focal Loss (Li et al. 2020): per stride one row per cell, holding a score per class
/// and, for each side, a distribution over its distance from the cell's centre. Boxes come in pixels of a picture of
/// `width` x `height`, strongest first.
pub(super) fn detections(outputs: &[Rows], width: u32, height: u32) -> Result<Vec<Detection>, DetectorError> {
    let scale = (width as f32 / SIDE as f32, height as f32 / SIDE as f32);
    let mut candidates: Vec<Vec<Detection>> = vec![Vec::new(); CLASSES.len()];
    for stride in STRIDES {
        let cells = (SIDE / stride).pow(2);
        let scores = rows(outputs, cells, CLASSES.len())?;
        let sides = rows(outputs, cells, 4 * BINS)?;
        for (index, (scores, sides)) in scores.chunks_exact(CLASSES.len()).zip(sides.chunks_exact(4 * BINS)).enumerate()
        {
            for ((class, score), found) in scores.iter().enumerate().zip(&mut candidates) {
                if *score > SCORE_THRESHOLD {
                    let area = cell_box(index, stride, sides, scale).clamped(width as f32, height as f32);
                    found.push(Detection { class, confidence: score.min(1.0), area });
                }
            }
        }
    }
    let mut kept: Vec<Detection> = candidates.into_iter().flat_map(suppress).collect();
    kept.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    Ok(kept)
}

fn rows(outputs: &[Rows], cells: usize, width: usize) -> Result<&[f32], DetectorError> {
    let found = outputs.iter().find(|rows| rows.width == width && rows.values.len() == cells * width);
    let missing = || DetectorError::Run(format!("the model has no output of {cells} x {width}"));
    found.map(|rows| rows.values.as_slice()).ok_or_else(missing)
}

/// The box of one cell, scaled from the model's square to the picture.
fn cell_box(index: usize, stride: usize, sides: &[f32], scale: (f32, f32)) -> PixelBox {
    let per_row = SIDE / stride;
    let centre = |cell: usize| (cell as f32 + 0.5) * stride as f32;
    let (x, y) = (centre(index % per_row), centre(index / per_row));
    let mut distances = sides.chunks_exact(BINS).map(|bins| expected_bin(bins) * stride as f32);
    let mut next = || distances.next().unwrap_or_default();
    let (left, top, right, bottom) = (next(), next(), next(), next());
    PixelBox {
        x1: (x - left) * scale.0,
        y1: (y - top) * scale.1,
        x2: (x + right) * scale.0,
        y2: (y + bottom) * scale.1,
    }
}

/// Mean bin, each weighted by the softmax of its value.
fn expected_bin(bins: &[f32]) -> f32 {
    let most = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    for (bin, value) in bins.iter().enumerate() {
        let weight = (value - most).exp();
        total += weight;
        weighted += weight * bin as f32;
    }
    if total > 0.0 { weighted / total } else { 0.0 }
}

/// Non-maximum suppression among detections of one class.
fn suppress(mut candidates: Vec<Detection>) -> Vec<Detection> {
    candidates.retain(|candidate| candidate.area.area() > 0.0);
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|stronger| stronger.area.overlap(&candidate.area) <= OVERLAP_THRESHOLD) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(confidence: f32, x1: f32, x2: f32) -> Detection {
        Detection { class: 0, confidence, area: PixelBox { x1, y1: 0.0, x2, y2: 10.0 } }
    }

    #[test]
    fn the_weaker_of_two_overlapping_boxes_goes() {
        let kept = suppress(vec![detection(0.5, 0.0, 10.0), detection(0.9, 1.0, 11.0), detection(0.4, 50.0, 60.0)]);
        assert_eq!(kept.iter().map(|kept| kept.confidence).collect::<Vec<_>>(), [0.9, 0.4]);
    }

    #[test]
    fn a_sharp_distribution_gives_its_bin_and_a_flat_one_the_middle() {
        let mut sharp = [-100.0; BINS];
        sharp[3] = 100.0;
        assert!((expected_bin(&sharp) - 3.0).abs() < 1e-5);
        assert!((expected_bin(&[0.0; BINS]) - 5.0).abs() < 1e-5);
    }

    #[test]
    fn a_cell_becomes_a_box_in_the_pictures_pixels() {
        let mut outputs = Vec::new();
        for stride in STRIDES {
            let cells = (SIDE / stride).pow(2);
            let mut scores = vec![0.0; cells * 80];
            let mut sides = vec![-100.0; cells * 44];
            if stride == 32 {
                // Column 2, row 1: the centre is (80, 48); every side is 1 bin, 32 px away.
                let cell = 13 + 2;
                scores[cell * 80 + 15] = 0.8;
                (0..4).for_each(|side| sides[cell * 44 + side * BINS + 1] = 100.0);
            }
            outputs.push(Rows { width: 80, values: scores });
            outputs.push(Rows { width: 44, values: sides });
        }
        let found = detections(&outputs, 832, 416).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name(), found[0].confidence), ("cat", 0.8));
        let PixelBox { x1, y1, x2, y2 } = found[0].area;
        assert_eq!([x1, y1, x2, y2].map(f32::round), [96.0, 16.0, 224.0, 80.0]);
    }

    #[test]
    fn outputs_of_another_shape_are_an_error() {
        assert!(detections(&[], 10, 10).is_err());
    }
}

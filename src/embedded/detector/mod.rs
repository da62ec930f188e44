//! NanoDet-g 416 (int8) on `rten`: finds things of the 80 COCO classes.

mod classes;
mod decode;
mod preprocess;

use std::sync::Arc;

use image::RgbImage;
use rten::Model;
use rten_tensor::{NdTensor, prelude::*};
use tokio::sync::Semaphore;

use self::{classes::CLASSES, decode::Rows, preprocess::SIDE};

const WEIGHTS: &[u8] = include_bytes!("../../../assets/models/nanodet-g-416-int8.onnx");

/// The detector could not be loaded or did not run.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The weights in the program could not be read.
    #[error("the detector's weights cannot be loaded: {0}")]
    Load(String),
    /// The model did not run to its end.
    #[error("the detector did not run: {0}")]
    Run(String),
}

/// A box in pixels, x to the right and y down; `x1 <= x2`, `y1 <= y2`, inside the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PixelBox {
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

impl PixelBox {
    fn clamped(self, width: f32, height: f32) -> Self {
        Self {
            x1: self.x1.clamp(0.0, width),
            y1: self.y1.clamp(0.0, height),
            x2: self.x2.clamp(0.0, width),
            y2: self.y2.clamp(0.0, height),
        }
    }

    fn area(&self) -> f32 {
        (self.x2 - self.x1).max(0.0) * (self.y2 - self.y1).max(0.0)
    }

    /// Intersection over union.
    fn overlap(&self, other: &Self) -> f32 {
        let common = Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        };
        let union = self.area() + other.area() - common.area();
        if union > 0.0 { common.area() / union } else { 0.0 }
    }
}

/// One thing the detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Detection {
    /// Index into the 80 classes.
    pub class: usize,
    /// The model's score, over 0.35 and at most 1.
    pub confidence: f32,
    /// Where it is.
    pub area: PixelBox,
}

impl Detection {
    /// The class in lower-case English.
    pub fn name(&self) -> &'static str {
        CLASSES.get(self.class).copied().unwrap_or("object")
    }
}

/// The loaded model. As many pictures at a time as the machine has cores; others wait.
pub(super) struct Detector {
    model: Arc<Model>,
    slots: Arc<Semaphore>,
}

impl Detector {
    /// Loads the weights that are part of the program.
    pub async fn load() -> Result<Self, DetectorError> {
        let load = || Model::load_static_slice(WEIGHTS).map_err(|error| DetectorError::Load(error.to_string()));
        let model =
            tokio::task::spawn_blocking(load).await.map_err(|error| DetectorError::Load(error.to_string()))??;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { model: Arc::new(model), slots: Arc::new(Semaphore::new(cores)) })
    }

    /// What is in the picture that `decode` gives, strongest first. Decoding runs off the async threads too, and only
    /// once there is a free slot, so that waiting pictures stay encoded.
    pub async fn detect<E>(
        &self,
        decode: impl FnOnce() -> Result<RgbImage, E> + Send + 'static,
    ) -> Result<Vec<Detection>, E>
    where
        E: From<DetectorError> + Send + 'static,
    {
        let ended = || E::from(DetectorError::Run("it was stopped".to_owned()));
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ended())?;
        let model = Arc::clone(&self.model);
        let work = move || {
            let _slot = slot;
            Ok(run(&model, decode()?)?)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ended())?
    }
}

fn run(model: &Model, picture: RgbImage) -> Result<Vec<Detection>, DetectorError> {
    let failed = |error: &dyn std::fmt::Display| DetectorError::Run(error.to_string());
    let (width, height) = picture.dimensions();
    let [input_id] = *model.input_ids() else { return Err(failed(&"the model has not one input")) };
    let input = NdTensor::from_data([1, 3, SIDE, SIDE], preprocess::input(picture)?);
    let outputs = model.run(vec![(input_id, input.into())], model.output_ids(), None).map_err(|e| failed(&e))?;
    let mut rows = Vec::with_capacity(outputs.len());
    for output in outputs {
        let output: NdTensor<f32, 3> = output.try_into().map_err(|e: rten::TryFromValueError| failed(&e))?;
        let [_, _, width] = output.shape();
        rows.push(Rows { width, values: output.into_data() });
    }
    decode::detections(&rows, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::DEMO_PHOTOS;

    async fn found_in(detector: &Detector, name: &str) -> Vec<(&'static str, f32)> {
        let photo = DEMO_PHOTOS.iter().find(|photo| photo.name == name).unwrap();
        let decode = || Ok::<_, DetectorError>(image::load_from_memory(photo.bytes).unwrap().to_rgb8());
        let found = detector.detect(decode).await.unwrap();
        found.iter().map(|detection| (detection.name(), detection.confidence)).collect()
    }

    /// Scores as measured with another implementation of the same model; wrong colours or sizes miss them far.
    #[tokio::test]
    async fn the_photos_give_the_known_scores() {
        let detector = Detector::load().await.unwrap();
        let near = |found: &[(&str, f32)], name: &str, expected: &[f32]| {
            let scores: Vec<f32> = found.iter().filter(|(found, _)| *found == name).map(|(_, score)| *score).collect();
            let close = expected.iter().zip(&scores).all(|(a, b)| (a - b).abs() < 0.03);
            assert!(scores.len() >= expected.len() && close, "{name}: {scores:?} for {expected:?}");
        };
        near(&found_in(&detector, "astronaut.png").await, "person", &[0.74]);
        near(&found_in(&detector, "coffee.png").await, "cup", &[0.51]);
        near(&found_in(&detector, "summit.jpeg").await, "person", &[0.55, 0.46, 0.43]);
        near(&found_in(&detector, "chelsea.png").await, "cat", &[0.43]);
        assert_eq!(found_in(&detector, "rocket.jpg").await, []);
    }
}

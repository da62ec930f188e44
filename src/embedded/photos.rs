/// Bucket of the temporary folder that holds [`DEMO_PHOTOS`].
pub const DEMO_BUCKET: &str = "photos";

/// A photo that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoPhoto {
    /// File name, also the object key in [`DEMO_BUCKET`].
    pub name: &'static str,
    /// The encoded picture.
    pub bytes: &'static [u8],
}

/// The photos that come with the program. Sources and licences are in NOTICE.
pub const DEMO_PHOTOS: [DemoPhoto; 5] = [
    DemoPhoto { name: "summit.jpeg", bytes: include_bytes!("../../assets/photos/summit.jpeg") },
    DemoPhoto { name: "astronaut.png", bytes: include_bytes!("../../assets/photos/astronaut.png") },
    DemoPhoto { name: "chelsea.png", bytes: include_bytes!("../../assets/photos/chelsea.png") },
    DemoPhoto { name: "coffee.png", bytes: include_bytes!("../../assets/photos/coffee.png") },
    DemoPhoto { name: "rocket.jpg", bytes: include_bytes!("../../assets/photos/rocket.jpg") },
];

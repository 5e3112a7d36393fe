//! Image folders, IDX images, and pixels that come in requests.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use modelyard_data::{
    ColumnData, Dataset, InputSpec, Kind, OutputKind, OutputSpec, Paths, Pipeline, PipelineSpec, SourceSpec,
    Value, read,
};

use super::{all_rows, apply, spec_of_x};

pub(crate) const TRANSFORMS: &[&str] = &[
    r#"[{"type": "image_to_float"}]"#,
    r#"[{"type": "grey"}, {"type": "image_to_float"}]"#,
    r#"[{"type": "resize", "height": 2, "width": 5}, {"type": "image_to_float"}, {"type": "normalize"}]"#,
    r#"[{"type": "resize", "height": 8, "width": 8}, {"type": "grey"}, {"type": "image_to_float"},
        {"type": "normalize", "mean": [0.5], "std": [0.25]}]"#,
];

/// Colour pixels of a 3×4 image that differ from seed to seed.
fn pixels(seed: usize) -> Vec<u8> {
    (0..36).map(|place| (seed * 31 + place * 7 % 256) as u8).collect()
}

fn png(width: u32, height: u32, colour: image::ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
    use image::ImageEncoder as _;
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(bytes, width, height, colour).expect("encodes");
    png
}

/// A grey PNG file of this height and width.
pub(crate) fn grey_png(height: u32, width: u32) -> Vec<u8> {
    let pixels = vec![7; (height * width) as usize];
    png(width, height, image::ExtendedColorType::L8, &pixels)
}

fn colour_png(seed: usize) -> Vec<u8> {
    png(4, 3, image::ExtendedColorType::Rgb8, &pixels(seed))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
    std::fs::write(path, bytes).expect("writes");
}

/// Eight images in two classes; the last of each class differs from version to version. In the order of the
/// data set these are rows 3 and 7, so the rows are put in the order in which 6 and 7 are the changed ones.
pub(crate) fn dataset(spec: &PipelineSpec, version: usize) -> Dataset {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..8 {
        let class = if seed < 4 { "cat" } else { "dog" };
        let seed_of_pixels = if seed >= 6 { seed + version * 100 } else { seed };
        write(folder.path(), &format!("{class}/{seed}.png"), &colour_png(seed_of_pixels));
    }
    read(&SourceSpec::new("."), folder.path(), spec).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_folder_gives_images_and_classes() {
    let spec = spec_of_x(Kind::Image, TRANSFORMS[0]);
    let data = dataset(&spec, 1);
    let Some(ColumnData::Images(images)) = data.column("x") else { panic!("images") };
    assert_eq!(images.shape, [3, 4, 3]);
    assert_eq!(images.bytes[..36], pixels(0));
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    assert_eq!(pipeline.input_shape(), [3, 4, 3]);
    let modelyard_data::Task::Classification { classes, .. } = pipeline.task() else { panic!("classes") };
    assert_eq!(classes, &["cat", "dog"]);
}

#[test]
fn a_request_gives_the_numbers_that_training_gave() {
    for transforms in TRANSFORMS {
        let spec = spec_of_x(Kind::Image, transforms);
        let data = dataset(&spec, 1);
        let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 4, 5]).expect("fits");
        let file = colour_png(2);
        let text = base64::engine::general_purpose::STANDARD.encode(&file);
        let url = format!("data:image/png;base64,{text}");
        for value in [Value::Bytes(file), Value::Text(text), Value::Text(url)] {
            let row = BTreeMap::from([("x".to_owned(), value)]);
            let served = pipeline.dataset_from_rows(&[row]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(apply(&pipeline, &served, &[0]), apply(&pipeline, &data, &[2]), "{transforms}");
        }
    }
}

#[test]
fn jpeg_and_images_of_any_size_are_taken_where_resize_is_declared() {
    let folder = tempfile::tempdir().expect("a folder");
    let grey: Vec<u8> = (0..30).collect();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .encode(&[200; 27], 3, 3, image::ExtendedColorType::Rgb8)
        .expect("encodes");
    write(folder.path(), "a/1.PNG", &png(5, 6, image::ExtendedColorType::L8, &grey));
    write(folder.path(), "a/2.jpg", &jpeg);
    write(folder.path(), "b/1.png", &colour_png(1));
    write(folder.path(), "b/notes.txt", b"no image");
    let resized =
        r#"[{"type": "resize", "height": 4, "width": 4}, {"type": "grey"}, {"type": "image_to_float"}]"#;
    let data = read(&SourceSpec::new("."), folder.path(), &spec_of_x(Kind::Image, resized)).expect("reads");
    assert_eq!(data.rows(), 3);
    let error = read(&SourceSpec::new("."), folder.path(), &spec_of_x(Kind::Image, TRANSFORMS[0]));
    let error = error.expect_err("sizes differ");
    assert!(error.to_string().contains("2.jpg"), "{error}");
    assert!(error.hint().expect("a way out").contains("resize"));
}

#[test]
fn images_below_a_class_are_refused_and_hidden_folders_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "dog/1.png", &colour_png(0));
    write(folder.path(), "cat/1.png", &colour_png(1));
    write(folder.path(), ".ipynb_checkpoints/1.png", &colour_png(2));
    write(folder.path(), "dog/.thumbs/1.png", &colour_png(3));
    write(folder.path(), "dog/._1.png", b"what macOS leaves");
    let spec = spec_of_x(Kind::Image, TRANSFORMS[0]);
    let data = read(&SourceSpec::new("."), folder.path(), &spec).expect("two images");
    assert_eq!(data.rows(), 2);
    write(folder.path(), "dog/2024/2.png", &colour_png(4));
    let error = read(&SourceSpec::new("."), folder.path(), &spec).expect_err("an image would be left out");
    assert!(error.to_string().contains("2024") && error.hint().is_some(), "{error}");
}

#[test]
fn an_image_that_lies_about_its_size_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut liar = colour_png(1);
    liar[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    write(folder.path(), "a/1.png", &colour_png(0));
    write(folder.path(), "b/liar.png", &liar);
    let error = read(&SourceSpec::new("."), folder.path(), &spec_of_x(Kind::Image, TRANSFORMS[0]));
    let error = error.expect_err("it lies").to_string();
    assert!(error.contains("liar.png"), "{error}");
}

#[test]
fn fashion_mnist_reads_whole() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    if !folder.exists() {
        eprintln!("SKIPPED: Fashion-MNIST is not here; apt-get install dataset-fashion-mnist");
        return;
    }
    let mut source = SourceSpec::new("train-images-idx3-ubyte.gz");
    source.labels = Some(Paths::One("train-labels-idx1-ubyte.gz".into()));
    source.test_source = Some(Paths::One("t10k-images-idx3-ubyte.gz".into()));
    source.test_labels = Some(Paths::One("t10k-labels-idx1-ubyte.gz".into()));
    let mut output = OutputSpec::new("article", OutputKind::Category);
    let names =
        ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"];
    output.labels = Some(names.map(String::from).to_vec());
    let spec = PipelineSpec {
        inputs: vec![InputSpec::new("picture", Kind::Image)],
        outputs: vec![output],
        ..PipelineSpec::default()
    };
    let data = read(&source, folder, &spec).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((data.rows(), data.test_rows()), (70_000, Some(60_000..70_000)));
    let rows = all_rows(&data);
    let pipeline = Pipeline::fit(&spec, &data, &rows[..60_000]).expect("fits");
    assert_eq!(pipeline.input_shape(), [28, 28, 1]);
    assert_eq!(pipeline.output_width(), 10);
    let numbers = apply(&pipeline, &data, &rows[..1000]);
    let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
    assert!((0.25..0.32).contains(&mean), "the mean brightness is {mean}");
    let example = pipeline.input_fields()[0].example.clone().expect("28×28 fits a line");
    let row = BTreeMap::from([("picture".to_owned(), example)]);
    let served = pipeline.dataset_from_rows(&[row]).expect("a row");
    assert_eq!(apply(&pipeline, &served, &[0]), numbers[..784]);
}

#[test]
fn pixels_may_come_as_numbers() {
    let spec = spec_of_x(Kind::Image, TRANSFORMS[0]);
    let data = dataset(&spec, 1);
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    let row = |pixels: Vec<f64>| BTreeMap::from([("x".to_owned(), Value::Vector(pixels))]);
    let pixels = pixels(2).into_iter().map(f64::from).collect();
    let served = pipeline.dataset_from_rows(&[row(pixels)]).expect("a row");
    assert_eq!(apply(&pipeline, &served, &[0]), apply(&pipeline, &data, &[2]));
    assert!(pipeline.dataset_from_rows(&[row(vec![0.0; 35])]).is_err(), "too few");
    assert!(pipeline.dataset_from_rows(&[row(vec![256.0; 36])]).is_err(), "out of range");
}

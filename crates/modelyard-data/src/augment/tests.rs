//! Each kind of change on an image small enough to follow.

use super::*;

fn image() -> Vec<f32> {
    (0..12).map(|value| value as f32).collect()
}

/// The image [3, 4, 1] changed with each of some seeds.
fn changed(json: &str) -> Vec<Vec<f32>> {
    let spec: AugmentSpec = serde_json::from_str(json).expect("the test writes settings");
    spec.as_augment().check().expect("the settings make sense");
    let change = |seed| {
        let mut values = image();
        let mut spare = Vec::new();
        spec.as_augment().apply(&mut Canvas::new([3, 4, 1], &mut values, &mut spare), &mut Random::new(seed));
        values
    };
    (0..20).map(change).collect()
}

#[test]
fn a_flip_is_the_image_or_its_mirror() {
    let mirrored = vec![3.0, 2.0, 1.0, 0.0, 7.0, 6.0, 5.0, 4.0, 11.0, 10.0, 9.0, 8.0];
    let all = changed(r#"{"type": "flip"}"#);
    assert!(all.iter().all(|values| *values == image() || *values == mirrored));
    assert!(all.contains(&image()) && all.contains(&mirrored));
    let down = vec![8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0];
    assert!(changed(r#"{"type": "flip", "horizontal": false, "vertical": true}"#).contains(&down));
}

#[test]
fn a_shift_moves_whole_pixels_and_repeats_the_edge() {
    let right = vec![0.0, 0.0, 1.0, 2.0, 4.0, 4.0, 5.0, 6.0, 8.0, 8.0, 9.0, 10.0];
    assert!(changed(r#"{"type": "shift", "height": 0, "width": 0.25}"#).contains(&right));
    for values in changed(r#"{"type": "shift", "height": 0.5, "width": 0.5}"#) {
        assert!(values.iter().all(|value| value.fract() == 0.0), "{values:?}");
    }
}

#[test]
fn rotations_and_crops_stay_within_the_values() {
    for json in [r#"{"type": "rotate", "degrees": 45}"#, r#"{"type": "crop", "smallest": 0.5}"#] {
        let all = changed(json);
        assert!(all.iter().flatten().all(|value| (0.0..=11.0).contains(value)), "{json}");
        assert!(all.iter().any(|values| *values != image()), "{json}");
    }
    assert!(changed(r#"{"type": "rotate", "degrees": 0}"#).iter().all(|values| *values == image()));
    assert!(changed(r#"{"type": "crop", "smallest": 1}"#).iter().all(|values| *values == image()));
}

#[test]
fn noise_and_brightness_have_the_size_asked_for() {
    let all = changed(r#"{"type": "noise", "std": 0.5}"#);
    let differences: Vec<f32> = all
        .iter()
        .flat_map(|values| values.iter().zip(image()).map(|(a, b)| a - b).collect::<Vec<_>>())
        .collect();
    let spread = differences.iter().map(|d| d * d).sum::<f32>() / differences.len() as f32;
    assert!((spread.sqrt() - 0.5).abs() < 0.1, "{spread}");
    for values in changed(r#"{"type": "brightness", "delta": 0.25}"#) {
        let delta = values[0];
        assert!(delta.abs() <= 0.25);
        assert!(values.iter().zip(image()).all(|(a, b)| (a - b - delta).abs() < 1e-5));
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for json in [
        r#"{"type": "flip", "horizontal": false}"#,
        r#"{"type": "shift", "height": 2}"#,
        r#"{"type": "rotate", "degrees": 400}"#,
        r#"{"type": "crop", "smallest": 0}"#,
        r#"{"type": "noise", "std": -1}"#,
        r#"{"type": "brightness", "delta": -1}"#,
    ] {
        let mut input = InputSpec::new("photo", Kind::Image);
        input.augment = Some(vec![serde_json::from_str(json).expect("settings")]);
        let error = check(&input).expect_err(json);
        assert!(error.to_string().starts_with("photo: "), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    let mut input = InputSpec::new("age", Kind::Number);
    input.augment = Some(vec![AugmentSpec::Flip(Flip::default())]);
    assert!(check(&input).expect_err("no image").to_string().contains("augment changes images"));
}

#[test]
fn a_place_and_an_epoch_decide_alone() {
    let changes = ["flip", "shift", "rotate", "crop", "noise", "brightness"]
        .map(|kind| serde_json::from_str(&format!("{{\"type\": \"{kind}\"}}")).expect("defaults"));
    let augmented = Augmented { offset: 1, shape: [3, 4, 1], changes: changes.to_vec() };
    let augmentation = Augmentation { width: 14, images: vec![augmented], seed: 7 };
    let row: Vec<f32> = (0..14).map(|value| value as f32).collect();
    let run = |places: &[usize], epoch| {
        let mut rows = row.repeat(places.len());
        augmentation.apply(&mut rows, places, epoch);
        rows
    };
    let both = run(&[3, 9], 1);
    assert_eq!(run(&[9], 1), both[14..], "whatever rows come beside it");
    assert_ne!(run(&[3], 2), both[..14], "another epoch");
    assert_ne!(both[..14], both[14..], "another place");
    assert_eq!((both[0], both[13]), (0.0, 13.0), "what is no image stays");
}

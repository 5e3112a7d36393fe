//! The operators that are layers of ours, each read only where it computes exactly what our layer does.

use modelyard_model::onnx::proto::NodeProto;
use serde_json::{Value, json};

use super::attributes::Attributes;
use super::chain::{Chain, Form};
use super::constants::Array;

/// Reads one node into the chain; `others` are its inputs beside the chain's own value.
pub(super) fn read(chain: &mut Chain<'_>, node: &NodeProto, others: &[String]) -> Result<(), String> {
    let operator = node.op_type.as_str();
    let count = |allowed: &[usize]| {
        if allowed.contains(&others.len()) {
            Ok(())
        } else {
            Err(format!("{operator} with other inputs than usual"))
        }
    };
    match operator {
        "Identity" => count(&[0]),
        "Dropout" => count(&[0, 1]),
        "Relu" | "Sigmoid" | "Tanh" | "Elu" | "LeakyRelu" | "Gelu" | "Softmax" => {
            count(&[0])?;
            activation(chain, node)
        }
        "Gemm" => {
            count(&[1, 2])?;
            gemm(chain, node, others)
        }
        "MatMul" => {
            count(&[1])?;
            Attributes::new(node).finish()?;
            let kernel = chain.constants.floats(&others[0])?;
            dense(chain, kernel, None)
        }
        "Add" => {
            count(&[1])?;
            bias(chain, &others[0])
        }
        "Conv" => {
            count(&[1, 2])?;
            convolution(chain, node, others)
        }
        "MaxPool" | "AveragePool" => {
            count(&[0])?;
            pooling(chain, node)
        }
        "BatchNormalization" => {
            count(&[4])?;
            batch_norm(chain, node, others)
        }
        "Flatten" | "Reshape" => {
            count(if operator == "Flatten" { &[0] } else { &[1] })?;
            flatten(chain, node, others)
        }
        "Transpose" => {
            count(&[0])?;
            transpose(chain, node)
        }
        _ => Err(operator.chars().take(40).collect()),
    }
}

/// Keras's exports begin by turning images to channels first.
pub(super) fn is_turn_to_channels_first(node: &NodeProto) -> bool {
    node.op_type == "Transpose" && node.attribute.iter().any(|a| a.name == "perm" && a.ints == [0, 3, 1, 2])
}

fn activation(chain: &mut Chain<'_>, node: &NodeProto) -> Result<(), String> {
    let mut attributes = Attributes::new(node);
    let exact = |name: &str, found: f32, wanted: f32| {
        if found == wanted { Ok(()) } else { Err(format!("{} with {name} = {found}", node.op_type)) }
    };
    let name = match node.op_type.as_str() {
        "Elu" => {
            exact("alpha", attributes.float("alpha", 1.0), 1.0)?;
            "elu"
        }
        "LeakyRelu" => {
            exact("alpha", attributes.float("alpha", 0.01), 0.2)?;
            "leaky_relu"
        }
        "Gelu" => {
            let form = attributes.text("approximate", "none");
            if form != "none" {
                return Err(format!("Gelu approximated by {form}"));
            }
            "gelu"
        }
        "Softmax" => {
            // Before opset 13 everything from the axis on was one row, which for [batch, n] is the same.
            let axis = attributes.int("axis", if chain.opset < 13 { 1 } else { -1 });
            if !matches!(axis, -1 | 1) || !matches!(chain.form, Form::Row { turned: None, .. }) {
                return Err("Softmax over anything but a row".to_owned());
            }
            "softmax"
        }
        "Relu" => "relu",
        "Sigmoid" => "sigmoid",
        _ => "tanh",
    };
    attributes.finish()?;
    chain.push(json!({ "type": "activation", "activation": name }), Vec::new());
    Ok(())
}

fn gemm(chain: &mut Chain<'_>, node: &NodeProto, others: &[String]) -> Result<(), String> {
    let mut attributes = Attributes::new(node);
    let (alpha, beta) = (attributes.float("alpha", 1.0), attributes.float("beta", 1.0));
    attributes.must_be("transA", 0)?;
    let transposed = attributes.int("transB", 0) != 0;
    attributes.finish()?;
    let mut kernel = chain.constants.floats(&others[0])?;
    if transposed {
        kernel = transpose_matrix(&kernel)?;
    }
    kernel.values.iter_mut().for_each(|value| *value *= alpha);
    let bias = others.get(1).map(|name| chain.constants.floats(name)).transpose()?;
    let bias = bias.map(|mut bias| {
        bias.values.iter_mut().for_each(|value| *value *= beta);
        bias
    });
    dense(chain, kernel, bias)
}

fn transpose_matrix(matrix: &Array) -> Result<Array, String> {
    let [rows, columns] = *matrix.shape.as_slice() else {
        return Err("Gemm with a constant that is no matrix".to_owned());
    };
    let at = |i: usize| matrix.values[(i % rows) * columns + i / rows];
    Ok(Array { shape: vec![columns, rows], values: (0..rows * columns).map(at).collect() })
}

fn dense(chain: &mut Chain<'_>, mut kernel: Array, bias: Option<Array>) -> Result<(), String> {
    let Form::Row { len, turned } = chain.form else {
        return Err("a matrix product over an image".to_owned());
    };
    let [inputs, units] = *kernel.shape.as_slice() else {
        return Err("a matrix product with a constant that is no matrix".to_owned());
    };
    if inputs != len || units == 0 {
        return Err(format!("a matrix of {inputs} rows on {len} numbers"));
    }
    if let Some([height, width, channels]) = turned {
        let area = height * width;
        let source = |at: usize| (at % channels) * area + at / channels;
        let rows = (0..len).flat_map(|at| &kernel.values[source(at) * units..(source(at) + 1) * units]);
        kernel.values = rows.copied().collect();
    }
    let mut weights = vec![("kernel", kernel)];
    let use_bias = bias.is_some();
    if let Some(bias) = bias {
        weights.push(("bias", bias_row(bias, units, None)?));
    }
    chain.push(json!({ "type": "dense", "units": units, "use_bias": use_bias }), weights);
    chain.form = Form::Row { len: units, turned: None };
    Ok(())
}

/// A bias as one number for each unit. `channels_first` says that it must have been [.., channels, 1, 1].
fn bias_row(bias: Array, units: usize, channels_first: Option<bool>) -> Result<Array, String> {
    let shape = bias.shape.as_slice();
    // One with more dimensions than the value would give the sum more, too.
    let rank = if channels_first.is_some() { 4 } else { 2 };
    if shape.len() > rank {
        return Err(format!("an addition of {shape:?} to a value of {rank} dimensions"));
    }
    let fits = match channels_first {
        Some(true) => matches!(shape, [n, 1, 1] | [1, n, 1, 1] if *n == units),
        _ => {
            let (last, front) = shape.split_last().unwrap_or((&1, &[]));
            *last == units && front.iter().all(|&n| n == 1)
        }
    };
    let one = bias.values.len() == 1;
    match (fits, one) {
        (true, _) => Ok(Array { shape: vec![units], values: bias.values }),
        (false, true) => Ok(Array { shape: vec![units], values: vec![bias.values[0]; units] }),
        (false, false) => Err(format!("an addition of {shape:?} to {units} channels")),
    }
}

/// `Add` of a constant right behind a layer without a bias.
fn bias(chain: &mut Chain<'_>, name: &str) -> Result<(), String> {
    let bias = chain.constants.floats(name)?;
    let channels_first = match chain.form {
        Form::Image { channels_last, .. } => Some(!channels_last),
        Form::Row { .. } => None,
    };
    let refused = || "an addition that is no bias of a layer".to_owned();
    let layer = chain.last(&["dense", "conv2d"]).filter(|layer| layer.config["use_bias"] == false);
    let layer = layer.ok_or_else(refused)?;
    let units = layer.weights[0].1.shape.last().copied().ok_or_else(refused)?;
    layer.weights.push(("bias", bias_row(bias, units, channels_first)?));
    layer.config["use_bias"] = Value::Bool(true);
    Ok(())
}

fn convolution(chain: &mut Chain<'_>, node: &NodeProto, others: &[String]) -> Result<(), String> {
    let [height, width, channels] = image_channels_first(chain)?;
    let kernel = chain.constants.floats(&others[0])?;
    let [filters, kernel_channels, rows, columns] = *kernel.shape.as_slice() else {
        return Err("Conv over other than height and width".to_owned());
    };
    let mut attributes = Attributes::new(node);
    attributes.must_be("group", 1)?;
    let size = attributes.ints("kernel_shape", 2, 0)?;
    let declared = [rows, columns].map(|n| n as i64);
    if kernel_channels != channels || (size != [0, 0] && size != declared) || filters * rows * columns == 0 {
        return Err("Conv whose kernel does not fit its input".to_owned());
    }
    let dilations = sizes(&attributes.ints("dilations", 2, 1)?, "Conv")?;
    let reach = [reach(rows, dilations[0]), reach(columns, dilations[1])];
    let window = Window::read(attributes, node, [height, width], reach)?;
    if dilations != [1, 1] && window.strides != [1, 1] {
        return Err("Conv with both strides and dilations".to_owned());
    }
    let at = |i: usize| {
        let (filter, rest) = (i % filters, i / filters);
        let (channel, tap) = (rest % channels, rest / channels);
        kernel.values[(filter * channels + channel) * rows * columns + tap]
    };
    let values = (0..kernel.values.len()).map(at).collect();
    let mut weights = vec![("kernel", Array { shape: vec![rows, columns, channels, filters], values })];
    if let Some(name) = others.get(1) {
        weights.push(("bias", bias_row(chain.constants.floats(name)?, filters, None)?));
    }
    let config = json!({
        "type": "conv2d",
        "filters": filters,
        "kernel_size": [rows, columns],
        "strides": window.strides,
        "dilation_rate": dilations,
        "padding": window.padding,
        "use_bias": others.len() > 1,
    });
    chain.push(config, weights);
    let [height, width] = window.output;
    chain.form = Form::Image { shape: [height, width, filters], channels_last: false };
    Ok(())
}

fn pooling(chain: &mut Chain<'_>, node: &NodeProto) -> Result<(), String> {
    let [height, width, channels] = image_channels_first(chain)?;
    let mut attributes = Attributes::new(node);
    let size = sizes(&attributes.ints("kernel_shape", 2, 0)?, &node.op_type)?;
    attributes.must_be("ceil_mode", 0)?;
    attributes.must_be("storage_order", 0)?;
    let counts_padding = attributes.int("count_include_pad", 0) != 0;
    if attributes.ints("dilations", 2, 1)? != [1, 1] {
        return Err(format!("{} with dilations", node.op_type));
    }
    let window = Window::read(attributes, node, [height, width], size)?;
    if counts_padding && window.padding != "valid" {
        return Err("AveragePool that counts its padding".to_owned());
    }
    let kind = if node.op_type == "MaxPool" { "max_pool2d" } else { "avg_pool2d" };
    let config =
        json!({ "type": kind, "pool_size": size, "strides": window.strides, "padding": window.padding });
    chain.push(config, Vec::new());
    let [height, width] = window.output;
    chain.form = Form::Image { shape: [height, width, channels], channels_last: false };
    Ok(())
}

fn batch_norm(chain: &mut Chain<'_>, node: &NodeProto, others: &[String]) -> Result<(), String> {
    let channels = match chain.form {
        Form::Row { len, turned: None } => len,
        Form::Image { shape, channels_last: false } => shape[2],
        _ => return Err("BatchNormalization over another axis than the channels".to_owned()),
    };
    let mut attributes = Attributes::new(node);
    let epsilon = attributes.float("epsilon", 1e-5);
    let _while_training = attributes.float("momentum", 0.9);
    attributes.must_be("training_mode", 0)?;
    attributes.must_be("spatial", 1)?;
    attributes.finish()?;
    let names = ["gamma", "beta", "moving_mean", "moving_variance"];
    let mut weights = Vec::with_capacity(names.len());
    for (name, constant) in names.into_iter().zip(others) {
        let array = chain.constants.floats(constant)?;
        if array.shape != [channels] {
            return Err(format!("BatchNormalization of {channels} channels with {:?} numbers", array.shape));
        }
        weights.push((name, array));
    }
    chain.push(json!({ "type": "batch_norm", "epsilon": epsilon }), weights);
    Ok(())
}

fn flatten(chain: &mut Chain<'_>, node: &NodeProto, others: &[String]) -> Result<(), String> {
    let (len, turned) = match chain.form {
        Form::Row { len, turned } => (len, turned),
        Form::Image { shape: [height, width, channels], channels_last } => {
            let same = channels_last || channels == 1 || height * width == 1;
            (height * width * channels, (!same).then_some([height, width, channels]))
        }
    };
    let mut attributes = Attributes::new(node);
    if node.op_type == "Flatten" {
        attributes.must_be("axis", 1)?;
    } else {
        attributes.must_be("allowzero", 0)?;
        let shape = chain.constants.whole_numbers(&others[0])?;
        let whole = i64::try_from(len).map_err(|_| "a shape beyond 63 bits".to_owned())?;
        if shape != [-1, whole] && shape != [0, whole] && shape != [0, -1] {
            return Err(format!("Reshape to {shape:?}"));
        }
    }
    attributes.finish()?;
    if matches!(chain.form, Form::Image { .. }) {
        chain.push(json!({ "type": "flatten" }), Vec::new());
    }
    chain.form = Form::Row { len, turned };
    Ok(())
}

fn transpose(chain: &mut Chain<'_>, node: &NodeProto) -> Result<(), String> {
    let Form::Image { shape, channels_last } = chain.form else {
        return Err("Transpose of anything but an image".to_owned());
    };
    let mut attributes = Attributes::new(node);
    let order = attributes.ints("perm", 4, 0)?;
    attributes.finish()?;
    chain.form = match (order.as_slice(), channels_last) {
        ([0, 3, 1, 2], true) => Form::Image { shape, channels_last: false },
        ([0, 2, 3, 1], false) => Form::Image { shape, channels_last: true },
        _ => return Err(format!("Transpose by {order:?}")),
    };
    Ok(())
}

fn image_channels_first(chain: &Chain<'_>) -> Result<[usize; 3], String> {
    match chain.form {
        Form::Image { shape, channels_last: false } => Ok(shape),
        _ => Err("a window over anything but an image with its channels first".to_owned()),
    }
}

/// Strides and padding as our layers have them, and what comes out.
struct Window {
    strides: [usize; 2],
    padding: &'static str,
    output: [usize; 2],
}

impl Window {
    /// Reads those of a window that reaches so far along each axis.
    fn read(
        mut attributes: Attributes<'_>,
        node: &NodeProto,
        input: [usize; 2],
        reach: [usize; 2],
    ) -> Result<Self, String> {
        let strides = sizes(&attributes.ints("strides", 2, 1)?, &node.op_type)?;
        let refused = |what: &str| format!("{} with {what}", node.op_type);
        let pads = attributes.ints("pads", 4, 0)?;
        let automatic = attributes.text("auto_pad", "NOTSET");
        attributes.finish()?;
        let same = [0, 1].map(|axis| same_padding(input[axis], reach[axis], strides[axis]));
        let no_pads = pads.iter().all(|&pad| pad == 0);
        let padding = match automatic.as_str() {
            "NOTSET" if no_pads => "valid",
            "VALID" => "valid",
            "SAME_UPPER" => "same",
            "NOTSET" if pads == [same[0].0, same[1].0, same[0].1, same[1].1] => "same",
            _ => return Err(refused("this padding")),
        };
        let output = [0, 1].map(|axis| match padding {
            "same" => Some(input[axis].div_ceil(strides[axis])),
            _ => input[axis].checked_sub(reach[axis]).map(|room| room / strides[axis] + 1),
        });
        match output {
            [Some(height), Some(width)] => Ok(Self { strides, padding, output: [height, width] }),
            _ => Err(refused("a window larger than its input")),
        }
    }
}

/// From the first to the last of `size` positions, at least one, that are `dilation` apart.
fn reach(size: usize, dilation: usize) -> usize {
    (size - 1).saturating_mul(dilation).saturating_add(1)
}

/// What "same" padding adds before and after.
fn same_padding(input: usize, reach: usize, stride: usize) -> (i64, i64) {
    let whole =
        (input.div_ceil(stride).saturating_sub(1) * stride).saturating_add(reach).saturating_sub(input);
    ((whole / 2) as i64, (whole - whole / 2) as i64)
}

fn sizes(numbers: &[i64], operator: &str) -> Result<[usize; 2], String> {
    let size = |n: i64| usize::try_from(n).ok().filter(|n| (1..=4096).contains(n));
    match numbers {
        [a, b] => size(*a).zip(size(*b)).map(|(a, b)| [a, b]),
        _ => None,
    }
    .ok_or_else(|| format!("{operator} with window sizes {numbers:?}"))
}

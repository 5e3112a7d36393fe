//! The attributes of one node, each taken once; what nobody took is not understood and refuses the node.

use modelyard_model::onnx::proto::{AttributeProto, NodeProto};

pub(super) struct Attributes<'a> {
    operator: &'a str,
    left: Vec<&'a AttributeProto>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto) -> Self {
        Self { operator: &node.op_type, left: node.attribute.iter().collect() }
    }

    fn take(&mut self, name: &str) -> Option<&'a AttributeProto> {
        let at = self.left.iter().position(|attribute| attribute.name == name)?;
        Some(self.left.swap_remove(at))
    }

    pub(super) fn float(&mut self, name: &str, default: f32) -> f32 {
        self.take(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    pub(super) fn int(&mut self, name: &str, default: i64) -> i64 {
        self.take(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    /// Whole numbers, or `count` times the default.
    pub(super) fn ints(&mut self, name: &str, count: usize, default: i64) -> Result<Vec<i64>, String> {
        let ints = self.take(name).map_or_else(|| vec![default; count], |attribute| attribute.ints.clone());
        if ints.len() == count {
            return Ok(ints);
        }
        Err(format!("{} has {} numbers for {name}, not {count}", self.operator, ints.len()))
    }

    pub(super) fn text(&mut self, name: &str, default: &str) -> String {
        let text = self.take(name).and_then(|attribute| attribute.s.as_ref());
        text.map_or_else(|| default.to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Refuses the node where an attribute must have this one value and has not.
    pub(super) fn must_be(&mut self, name: &str, value: i64) -> Result<(), String> {
        let found = self.int(name, value);
        if found == value { Ok(()) } else { Err(format!("{} with {name} = {found}", self.operator)) }
    }

    /// Refuses the node where attributes are left.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some(attribute) => Err(format!("{} with {}", self.operator, attribute.name)),
        }
    }
}

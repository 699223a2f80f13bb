//! What a type is made of, as far as it tells where a future waits.

use gimli::{AttributeValue, Unit, UnitOffset};

use super::{Entry, Reader, Slice, Type, Why, broken};

/// A number in memory: where it lies in what holds it, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Scalar {
    pub(in super::super) at: u64,
    pub(in super::super) size: u64,
}

#[derive(Clone, Debug)]
pub(in super::super) struct Member {
    pub(in super::super) name: String,
    pub(in super::super) at: u64,
    pub(in super::super) of: Type,
}

/// A state of an async function or block.
#[derive(Clone, Debug)]
pub(in super::super) struct Point {
    pub(in super::super) state: u64,
    /// `Unresumed`, `Returned`, `Panicked`, `Suspend0`, …
    pub(in super::super) name: String,
    pub(in super::super) file: String,
    pub(in super::super) line: u64,
    pub(in super::super) members: Vec<Member>,
}

#[derive(Clone, Debug)]
pub(in super::super) enum Shape {
    /// An async function or block: which of its states it is in, and what it holds there.
    Async {
        state: Scalar,
        points: Vec<Point>,
    },
    /// Several, of which one is there; `None`: that of all other numbers.
    Enum {
        which: Option<Scalar>,
        variants: Vec<(Option<u64>, Vec<Member>)>,
    },
    Struct(Vec<Member>),
    Pointer(Type),
    Other,
}

/// The member's own members lie from here on.
fn moved(members: &[Member], by: u64) -> Vec<Member> {
    let moved = |member: &Member| Member {
        at: member.at + by,
        ..member.clone()
    };
    members.iter().map(moved).collect()
}

/// A variant as its entry tells it: which number, and where its content is.
struct Variant {
    number: Option<u64>,
    content: Option<(Member, u64, u64)>,
}

impl<'a> Reader<'a> {
    pub(super) fn shape_at(
        &mut self,
        unit: &Unit<Slice<'a>>,
        offset: UnitOffset,
    ) -> Result<Shape, Why> {
        let entry = unit.entry(offset).map_err(broken)?;
        match entry.tag() {
            gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type => {
                let to = entry.attr_value(gimli::DW_AT_type);
                let to = to.and_then(|value| self.referred(unit, value));
                Ok(to.map_or(Shape::Other, Shape::Pointer))
            }
            gimli::DW_TAG_structure_type => self.structure(unit, offset),
            _ => Ok(Shape::Other),
        }
    }

    fn structure(&mut self, unit: &Unit<Slice<'a>>, offset: UnitOffset) -> Result<Shape, Why> {
        let mut members = Vec::new();
        let mut tree = unit.entries_tree(Some(offset)).map_err(broken)?;
        let mut children = tree.root().map_err(broken)?.children();
        while let Some(child) = children.next().map_err(broken)? {
            match child.entry().tag() {
                gimli::DW_TAG_member => members.extend(self.member(unit, child.entry())),
                gimli::DW_TAG_variant_part => {
                    let which = child.entry().attr_value(gimli::DW_AT_discr);
                    let mut variants = Vec::new();
                    let mut parts = child.children();
                    while let Some(part) = parts.next().map_err(broken)? {
                        if part.entry().tag() != gimli::DW_TAG_variant {
                            continue;
                        }
                        let number = number_of(part.entry(), gimli::DW_AT_discr_value);
                        let mut content = None;
                        let mut inner = part.children();
                        while let Some(inner) = inner.next().map_err(broken)? {
                            let entry = inner.entry();
                            if entry.tag() == gimli::DW_TAG_member {
                                let told = |name| number_of(entry, name).unwrap_or(0);
                                let file = told(gimli::DW_AT_decl_file);
                                let line = told(gimli::DW_AT_decl_line);
                                content = self.member(unit, entry).map(|m| (m, file, line));
                            }
                        }
                        variants.push(Variant { number, content });
                    }
                    return self.variants(unit, which, variants);
                }
                _ => {}
            }
        }
        Ok(Shape::Struct(members))
    }

    fn variants(
        &mut self,
        unit: &Unit<Slice<'a>>,
        which: Option<AttributeValue<Slice<'a>>>,
        variants: Vec<Variant>,
    ) -> Result<Shape, Why> {
        let discriminant = match which {
            Some(AttributeValue::UnitRef(at)) => Some(unit.entry(at).map_err(broken)?),
            _ => None,
        };
        let state = match &discriminant {
            Some(entry) => {
                let size = match entry.attr_value(gimli::DW_AT_type) {
                    Some(value) => match self.referred(unit, value) {
                        Some(of) => self.size(of)?,
                        None => 0,
                    },
                    None => 0,
                };
                Some(Scalar {
                    at: number_of(entry, gimli::DW_AT_data_member_location).unwrap_or(0),
                    size,
                })
            }
            None => None,
        };
        let is_async =
            (discriminant.as_ref()).is_some_and(|entry| self.text(unit, entry) == "__state");
        if let (true, Some(state)) = (is_async, state) {
            let mut points = Vec::new();
            for Variant { number, content } in variants {
                let (Some(number), Some((member, file, line))) = (number, content) else {
                    continue;
                };
                let members = match &*self.shape(member.of)? {
                    Shape::Struct(members) => moved(members, member.at),
                    _ => Vec::new(),
                };
                let name = self.name(member.of);
                points.push(Point {
                    state: number,
                    name: name.rsplit("::").next().unwrap_or_default().to_owned(),
                    file: self.file(unit, file),
                    line,
                    members,
                });
            }
            return Ok(Shape::Async { state, points });
        }
        let content = |content: Option<(Member, u64, u64)>| content.map(|(m, ..)| m);
        Ok(Shape::Enum {
            which: state,
            variants: variants
                .into_iter()
                .map(|variant| {
                    let members = content(variant.content).into_iter().collect();
                    (variant.number, members)
                })
                .collect(),
        })
    }

    fn member(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<Member> {
        Some(Member {
            name: self.text(unit, entry),
            at: number_of(entry, gimli::DW_AT_data_member_location).unwrap_or(0),
            of: self.referred(unit, entry.attr_value(gimli::DW_AT_type)?)?,
        })
    }

    /// The bytes that a value of the type takes.
    pub(in super::super) fn size(&mut self, of: Type) -> Result<u64, Why> {
        let (unit, offset) = self.entry(of)?;
        let entry = unit.unit.entry(offset).map_err(broken)?;
        Ok(number_of(&entry, gimli::DW_AT_byte_size).unwrap_or(0))
    }
}

fn number_of(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    let value = entry.attr_value(name)?;
    if let AttributeValue::FileIndex(number) = value {
        return Some(number);
    }
    let unsigned = value.udata_value();
    unsigned.or_else(|| value.sdata_value().map(|number| number as u64))
}

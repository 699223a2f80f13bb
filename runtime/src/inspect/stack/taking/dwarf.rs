//! What the debug information of this program says of types: which future a poll function polls,
//! and what a future looks like in memory while it waits.
//!
//! Read when first asked for, a unit at a time, on a thread that may take its time. Knows neither
//! tasks nor memory.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use gimli::{
    AttributeValue, DebugInfoOffset, DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian,
    Operation, Unit, UnitHeader, UnitOffset,
};

mod shape;

use super::sections::Sections;
pub(crate) use super::sections::Why;
pub(super) use shape::{Member, Scalar, Shape};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// A type: where it stands in `.debug_info`.
pub(crate) type Type = usize;

/// Shapes and names that are remembered.
const KNOWN: usize = 1 << 16;

/// Entries between two looks at the time.
const STRIDE: u32 = 4096;

pub(crate) struct Reader<'a> {
    dwarf: Dwarf<Slice<'a>>,
    headers: Vec<UnitHeader<Slice<'a>>>,
    /// Where the code of units lies, sorted.
    code: Vec<(Range<u64>, usize)>,
    units: HashMap<usize, Rc<Indexed<'a>>>,
    shapes: HashMap<Type, Rc<Shape>>,
    names: HashMap<Type, Rc<str>>,
    /// When to give up what is being read.
    pub(crate) until: Instant,
}

/// A unit, and what a walk through it found.
struct Indexed<'a> {
    unit: Unit<Slice<'a>>,
    /// Functions by the address at which they begin.
    functions: HashMap<u64, UnitOffset>,
    /// What the tables of virtual functions are of, by their address.
    tables: HashMap<u64, Type>,
    /// Entries that others are named after, sorted, each with the one it lies in.
    scopes: Vec<(UnitOffset, Option<UnitOffset>)>,
}

impl Indexed<'_> {
    fn scope_of(&self, offset: UnitOffset) -> Option<UnitOffset> {
        let found = self.scopes.binary_search_by_key(&offset.0, |(at, _)| at.0);
        self.scopes.get(found.ok()?)?.1
    }
}

fn broken(error: gimli::Error) -> Why {
    format!("the debug info cannot be read: {error}").into()
}

impl<'a> Reader<'a> {
    /// Finds the units and where their code lies. Errors: there is nothing to read, in words.
    pub(crate) fn new(sections: &'a Sections, until: Instant) -> Result<Self, Why> {
        let load = |id: gimli::SectionId| -> Result<Slice<'a>, Why> {
            Ok(EndianSlice::new(sections.get(id.name()), LittleEndian))
        };
        let dwarf = Dwarf::load(load)?;
        let mut headers = Vec::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next().map_err(broken)? {
            headers.push(header);
        }
        let mut reader = Self {
            dwarf,
            headers,
            code: Vec::new(),
            units: HashMap::new(),
            shapes: HashMap::new(),
            names: HashMap::new(),
            until,
        };
        reader.code = match sections.get(".debug_aranges") {
            [] => reader.code_by_units()?,
            table => reader.code_by_table(table)?,
        };
        reader.code.sort_by_key(|(range, _)| range.start);
        Ok(reader)
    }

    fn code_by_table(&self, table: &'a [u8]) -> Result<Vec<(Range<u64>, usize)>, Why> {
        let mut code = Vec::new();
        let mut headers = gimli::DebugAranges::new(table, LittleEndian).headers();
        while let Some(header) = headers.next().map_err(broken)? {
            let Some(unit) = self.unit_at(header.debug_info_offset().0) else {
                continue;
            };
            let mut entries = header.entries();
            while let Some(entry) = entries.next().map_err(broken)? {
                let start = entry.address();
                code.push((start..start + entry.length(), unit));
            }
        }
        Ok(code)
    }

    fn code_by_units(&self) -> Result<Vec<(Range<u64>, usize)>, Why> {
        let mut code = Vec::new();
        for (index, header) in self.headers.iter().enumerate() {
            self.in_time()?;
            let unit = self.dwarf.unit(*header).map_err(broken)?;
            let mut ranges = self.dwarf.unit_ranges(&unit).map_err(broken)?;
            while let Some(range) = ranges.next().map_err(broken)? {
                code.push((range.begin..range.end, index));
            }
        }
        Ok(code)
    }

    fn in_time(&self) -> Result<(), Why> {
        #[allow(clippy::disallowed_methods)]
        if Instant::now() > self.until {
            return Err("reading the debug info took too long and was given up".into());
        }
        Ok(())
    }

    /// The unit that holds what stands at `offset` of `.debug_info`.
    fn unit_at(&self, offset: usize) -> Option<usize> {
        let start =
            |header: &UnitHeader<Slice<'a>>| header.debug_info_offset().map_or(0, |at| at.0);
        let after = self
            .headers
            .partition_point(|header| start(header) <= offset);
        after.checked_sub(1)
    }

    /// The unit whose code holds `pc`.
    fn unit_of_code(&self, pc: u64) -> Option<usize> {
        let after = self.code.partition_point(|(range, _)| range.start <= pc);
        // Ranges do not overlap, but for those of functions that were thrown away, which begin at 0.
        let near = self.code[..after].iter().rev().take(8);
        near.filter(|(range, _)| range.contains(&pc) && range.start != 0)
            .map(|(_, unit)| *unit)
            .next()
    }

    fn indexed(&mut self, index: usize) -> Result<Rc<Indexed<'a>>, Why> {
        if let Some(unit) = self.units.get(&index) {
            return Ok(unit.clone());
        }
        self.in_time()?;
        let unit = self.dwarf.unit(self.headers[index]).map_err(broken)?;
        if unit.dwo_name().ok().flatten().is_some() {
            return Err(
                "the debug info is split off into .dwo files, which are not read \
                 (split-debuginfo = \"off\" keeps it in the program)"
                    .into(),
            );
        }
        let mut indexed = Indexed {
            unit,
            functions: HashMap::new(),
            tables: HashMap::new(),
            scopes: Vec::new(),
        };
        self.walk(&mut indexed)?;
        let unit = Rc::new(indexed);
        self.units.insert(index, unit.clone());
        Ok(unit)
    }

    /// Goes through all entries of a unit, and reads of most no more than what they are.
    fn walk(&self, indexed: &mut Indexed<'a>) -> Result<(), Why> {
        let mut found: Vec<(u64, UnitOffset)> = Vec::new();
        let mut tables: Vec<(u64, Type)> = Vec::new();
        let mut scopes = Vec::new();
        {
            let unit = &indexed.unit;
            let mut raw = unit.entries_raw(None).map_err(broken)?;
            // The entries that others lie in: their depth, and whether they are functions.
            let mut inside: Vec<(isize, UnitOffset, bool)> = Vec::new();
            let mut entry = Entry::null();
            let mut count = 0_u32;
            while !raw.is_empty() {
                count += 1;
                if count.is_multiple_of(STRIDE) {
                    self.in_time()?;
                }
                let (offset, depth) = (raw.next_offset(), raw.next_depth());
                let mut ahead = raw.clone();
                let Some(abbreviation) = ahead.read_abbreviation().map_err(broken)? else {
                    raw = ahead;
                    continue;
                };
                while inside.last().is_some_and(|(above, ..)| *above >= depth) {
                    inside.pop();
                }
                let scope = inside.last().map(|(_, offset, _)| *offset);
                match abbreviation.tag() {
                    gimli::DW_TAG_subprogram => {
                        raw.read_entry(&mut entry).map_err(broken)?;
                        if let Some(low) = self.low_pc(unit, &entry) {
                            found.push((low, offset));
                        }
                        scopes.push((offset, scope));
                        inside.push((depth, offset, true));
                    }
                    // A function's variables are no tables.
                    gimli::DW_TAG_variable if !inside.last().is_some_and(|at| at.2) => {
                        raw.read_entry(&mut entry).map_err(broken)?;
                        tables.extend(self.table(unit, &entry));
                    }
                    gimli::DW_TAG_namespace
                    | gimli::DW_TAG_structure_type
                    | gimli::DW_TAG_union_type
                    | gimli::DW_TAG_enumeration_type => {
                        ahead
                            .skip_attributes(abbreviation.attributes())
                            .map_err(broken)?;
                        raw = ahead;
                        scopes.push((offset, scope));
                        inside.push((depth, offset, false));
                    }
                    _ => {
                        ahead
                            .skip_attributes(abbreviation.attributes())
                            .map_err(broken)?;
                        raw = ahead;
                    }
                }
            }
        }
        indexed.functions.extend(found);
        indexed.tables.extend(tables);
        indexed.scopes = scopes;
        Ok(())
    }

    fn low_pc(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<u64> {
        let value = entry.attr_value(gimli::DW_AT_low_pc)?;
        let low = self.dwarf.attr_address(unit, value).ok()??;
        // Functions that the linker threw away.
        (low != 0).then_some(low)
    }

    /// A variable that is a table of virtual functions: its address, and what it is of.
    fn table(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<(u64, Type)> {
        let AttributeValue::Exprloc(expression) = entry.attr_value(gimli::DW_AT_location)? else {
            return None;
        };
        let mut operations = expression.operations(unit.encoding());
        let address = match operations.next().ok()?? {
            Operation::Address { address } => address,
            Operation::AddressIndex { index } => self.dwarf.address(unit, index).ok()?,
            _ => return None,
        };
        let AttributeValue::UnitRef(of) = entry.attr_value(gimli::DW_AT_type)? else {
            return None;
        };
        let kind = unit.entry(of).ok()?;
        let holder = kind.attr_value(gimli::DW_AT_containing_type)?;
        Some((address, self.referred(unit, holder)?))
    }

    fn referred(&self, unit: &Unit<Slice<'a>>, value: AttributeValue<Slice<'a>>) -> Option<Type> {
        match value {
            AttributeValue::UnitRef(offset) => {
                offset.to_debug_info_offset(&unit.header).map(|at| at.0)
            }
            AttributeValue::DebugInfoRef(DebugInfoOffset(at)) => Some(at),
            _ => None,
        }
    }

    /// Reads the entry of a type, or of a function.
    fn entry(&mut self, at: Type) -> Result<(Rc<Indexed<'a>>, UnitOffset), Why> {
        let lost = || Why::from("the debug info refers to what it does not have");
        let index = self.unit_at(at).ok_or_else(lost)?;
        let offset = DebugInfoOffset(at)
            .to_unit_offset(&self.headers[index])
            .ok_or_else(lost)?;
        Ok((self.indexed(index)?, offset))
    }

    /// The first type parameter of the function that begins at `pc`.
    pub(crate) fn parameter_of(&mut self, pc: u64) -> Result<Type, Why> {
        let Some(index) = self.unit_of_code(pc) else {
            return Err("the debug info does not cover this code".into());
        };
        let unit = self.indexed(index)?;
        let only_lines = || {
            Why::from(
                "the debug info has lines but no types: build with `debug = true` to have the \
                 futures of a task read",
            )
        };
        let mut at = *unit.functions.get(&pc).ok_or_else(only_lines)?;
        // What was also put into others has its parameters at the entry that all refer to.
        for _ in 0..3 {
            if let Some(found) = self.template(&unit, at)? {
                return Ok(found);
            }
            let entry = unit.unit.entry(at).map_err(broken)?;
            let next = entry
                .attr_value(gimli::DW_AT_abstract_origin)
                .or_else(|| entry.attr_value(gimli::DW_AT_specification));
            match next {
                Some(AttributeValue::UnitRef(origin)) => at = origin,
                _ => break,
            }
        }
        Err(only_lines())
    }

    fn template(&self, unit: &Indexed<'a>, at: UnitOffset) -> Result<Option<Type>, Why> {
        let mut tree = unit.unit.entries_tree(Some(at)).map_err(broken)?;
        let mut children = tree.root().map_err(broken)?.children();
        while let Some(child) = children.next().map_err(broken)? {
            let entry = child.entry();
            if entry.tag() == gimli::DW_TAG_template_type_parameter
                && let Some(value) = entry.attr_value(gimli::DW_AT_type)
            {
                return Ok(self.referred(&unit.unit, value));
            }
        }
        Ok(None)
    }

    /// The type behind a table of virtual functions at `table`, of which `drop` and `poll` are two
    /// functions, 0 where there is none.
    pub(crate) fn behind(&mut self, table: u64, drop: u64, poll: u64) -> Result<Type, Why> {
        for pc in [poll, drop] {
            if let Some(index) = self.unit_of_code(pc) {
                self.indexed(index)?;
            }
        }
        let told = self
            .units
            .values()
            .find_map(|unit| unit.tables.get(&table).copied());
        if let Some(told) = told {
            return Ok(told);
        }
        // The table may stand in a unit that was not read: `drop_in_place::<T>` names the type.
        match drop {
            0 => Err("the debug info does not tell the type of a boxed future".into()),
            _ => self.parameter_of(drop),
        }
    }

    /// The name of a type, with the path to it.
    pub(crate) fn name(&mut self, of: Type) -> Rc<str> {
        if let Some(name) = self.names.get(&of) {
            return name.clone();
        }
        let name: Rc<str> = self.spell(of).unwrap_or_default().into();
        if self.names.len() == KNOWN {
            self.names.clear();
        }
        self.names.insert(of, name.clone());
        name
    }

    fn spell(&mut self, of: Type) -> Option<String> {
        let (unit, offset) = self.entry(of).ok()?;
        let mut words = Vec::new();
        let mut at = Some(offset);
        while let Some(offset) = at {
            let entry = unit.unit.entry(offset).ok()?;
            if entry.tag() != gimli::DW_TAG_subprogram {
                words.push(self.text(&unit.unit, &entry));
            }
            at = unit.scope_of(offset);
        }
        words.retain(|word| !word.is_empty());
        words.reverse();
        Some(words.join("::"))
    }

    fn text(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> String {
        let text = entry
            .attr_value(gimli::DW_AT_name)
            .and_then(|value| self.dwarf.attr_string(unit, value).ok());
        text.map_or_else(String::new, |text| text.to_string_lossy().into_owned())
    }

    /// What a type is made of.
    pub(super) fn shape(&mut self, of: Type) -> Result<Rc<Shape>, Why> {
        if let Some(shape) = self.shapes.get(&of) {
            return Ok(shape.clone());
        }
        let (unit, offset) = self.entry(of)?;
        let shape = Rc::new(self.shape_at(&unit.unit, offset)?);
        if self.shapes.len() == KNOWN {
            self.shapes.clear();
        }
        self.shapes.insert(of, shape.clone());
        Ok(shape)
    }

    /// The path of a file that an entry names by its number.
    fn file(&self, unit: &Unit<Slice<'a>>, number: u64) -> String {
        let text = |value| {
            let text = self.dwarf.attr_string(unit, value).ok();
            text.map_or_else(String::new, |text| text.to_string_lossy().into_owned())
        };
        let Some(program) = &unit.line_program else {
            return String::new();
        };
        let header = program.header();
        let Some(file) = header.file(number) else {
            return String::new();
        };
        let mut path = text(file.path_name());
        if !path.starts_with('/')
            && let Some(folder) = file.directory(header)
        {
            path = format!("{}/{path}", text(folder).trim_end_matches('/'));
        }
        if !path.starts_with('/')
            && let Some(folder) = &unit.comp_dir
        {
            let folder = folder.to_string_lossy();
            path = format!("{}/{path}", folder.trim_end_matches('/'));
        }
        path
    }
}

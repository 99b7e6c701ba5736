//! From a schema document to nodes: which subschemas there are, what their references mean, and
//! whether checking with them ends.

mod keywords;
mod names;
mod rewrite;

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use crate::draft::Draft;
use crate::error::SchemaError;
use crate::node::{Node, NodeId};
use crate::pattern::Pattern;
use crate::text;
use keywords::Reader;
use names::{Names, Reference};
pub(crate) use rewrite::moved;

/// Most bytes of a schema, written without spaces.
pub const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// Most levels of objects and arrays in a schema.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Most subschemas of a schema.
pub const SUBSCHEMAS_MAX: usize = 4096;

/// Most patterns of a schema. Each thread that matches one keeps a cache for it.
pub const PATTERNS_MAX: usize = 256;

/// Most bytes that all patterns of a schema keep together.
const PATTERNS_MEMORY_MAX: usize = 16 << 20;

/// What a schema document says.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The nodes; the first is the whole schema.
    pub nodes: Vec<Node>,
    /// The schema with all references as pointers from its root, and without other names.
    pub document: Value,
    /// Where in the document there is a `$ref`.
    pub references: Vec<String>,
}

/// Compiles a schema.
pub(crate) fn compile(schema: &Value) -> Result<Compiled, SchemaError> {
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err(SchemaError::NotASchema { found: text::kind(schema) });
    }
    check_size(schema)?;
    let mut builder = Builder::new(schema, Draft::named(schema.get("$schema"))?);
    builder.read_all()?;
    let targets = builder.targets;
    refuse_loops(&builder.nodes)?;
    let (document, references) = rewrite::local(schema, builder.draft, &builder.nodes, &targets);
    Ok(Compiled { nodes: builder.nodes, document, references })
}

fn check_size(schema: &Value) -> Result<(), SchemaError> {
    // Depth first: what follows calls itself for each level.
    let mut level = vec![schema];
    for _ in 0..SCHEMA_DEPTH_MAX {
        level = level.into_iter().flat_map(containers).collect();
    }
    if !level.is_empty() {
        return Err(SchemaError::TooDeep);
    }
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(SchemaError::TooLarge { bytes });
    }
    Ok(())
}

/// The objects and arrays directly in a value.
fn containers(value: &Value) -> Vec<&Value> {
    let is_container = |value: &&Value| matches!(value, Value::Array(_) | Value::Object(_));
    match value {
        Value::Array(items) => items.iter().filter(is_container).collect(),
        Value::Object(members) => members.values().filter(is_container).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// What is known of a schema while its subschemas are found, one after another.
struct Builder<'a> {
    root: &'a Value,
    draft: Draft,
    nodes: Vec<Node>,
    /// The URI that references in each node start from.
    bases: Vec<Rc<str>>,
    places: HashMap<String, NodeId>,
    todo: Vec<NodeId>,
    names: Names,
    /// References whose targets are not known yet: names may follow.
    open: Vec<Reference>,
    /// What became of them: from where, by which keyword, to where.
    targets: Vec<(NodeId, &'static str, String)>,
    patterns: usize,
    patterns_memory: usize,
}

impl<'a> Builder<'a> {
    fn new(root: &'a Value, draft: Draft) -> Self {
        Builder {
            root,
            draft,
            nodes: Vec::new(),
            bases: Vec::new(),
            places: HashMap::new(),
            todo: Vec::new(),
            names: Names::new(),
            open: Vec::new(),
            targets: Vec::new(),
            patterns: 0,
            patterns_memory: 0,
        }
    }

    fn read_all(&mut self) -> Result<(), SchemaError> {
        self.node(String::new(), &names::root_base())?;
        loop {
            while let Some(id) = self.todo.pop() {
                self.read(id)?;
            }
            let Some(reference) = self.open.pop() else { return Ok(()) };
            let pointer = self.names.target(&reference, &self.nodes[reference.from].pointer)?;
            let target = self.target(&reference, &pointer)?;
            let logic = self.nodes[reference.from].logic.get_or_insert_default();
            logic.references.push(target);
            self.targets.push((reference.from, reference.keyword, pointer));
        }
    }

    /// The node of this place, which is read later if it is new.
    fn node(&mut self, pointer: String, base: &Rc<str>) -> Result<NodeId, SchemaError> {
        if let Some(&id) = self.places.get(&pointer) {
            return Ok(id);
        }
        let id = self.nodes.len();
        if id == SUBSCHEMAS_MAX {
            return Err(SchemaError::TooManySubschemas);
        }
        self.places.insert(pointer.clone(), id);
        self.nodes.push(Node { pointer, ..Node::default() });
        self.bases.push(base.clone());
        self.todo.push(id);
        Ok(id)
    }

    /// The node that a reference leads to. It may be in a place where no keyword expects a schema,
    /// but not inside of a value such as `const`.
    fn target(&mut self, reference: &Reference, pointer: &str) -> Result<NodeId, SchemaError> {
        let missing = || SchemaError::NoTarget {
            pointer: text::below(&self.nodes[reference.from].pointer, reference.keyword),
            target: reference.target.clone(),
        };
        let place = self.root.pointer(pointer);
        if !matches!(place, Some(Value::Object(_) | Value::Bool(_))) {
            return Err(missing());
        }
        let mut above = pointer;
        while !self.places.contains_key(above) {
            let end = above.rfind('/').expect("the root is a place, and any other has a slash");
            if let "const" | "enum" | "default" | "examples" = &above[end + 1..] {
                return Err(missing());
            }
            above = &above[..end];
        }
        let base = self.bases[self.places[above]].clone();
        self.node(pointer.to_owned(), &base)
    }

    fn read(&mut self, id: NodeId) -> Result<(), SchemaError> {
        let pointer = self.nodes[id].pointer.clone();
        let schema = self.root.pointer(&pointer).expect("nodes are made of places that are there");
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(verdict) => {
                self.nodes[id].verdict = Some(*verdict);
                self.nodes[id].weight = 1;
                return Ok(());
            }
            other => {
                let reason = format!("must be an object or a boolean, is {}", text::kind(other));
                return Err(SchemaError::Keyword { pointer, reason });
            }
        };
        self.bases[id] = self.names.enter(self.draft, map, &pointer, &self.bases[id])?;
        let base = self.bases[id].clone();
        let reader = Reader { builder: self, map, id, pointer: pointer.clone(), base };
        let node = reader.node()?;
        self.nodes[id] = Node { pointer, ..node };
        Ok(())
    }

    fn pattern(&mut self, source: &str, pointer: &str) -> Result<Pattern, SchemaError> {
        self.patterns += 1;
        let pattern = Pattern::parse(source)
            .map_err(|reason| SchemaError::Pattern { pointer: pointer.to_owned(), reason })?;
        self.patterns_memory += pattern.memory();
        if self.patterns > PATTERNS_MAX || self.patterns_memory > PATTERNS_MEMORY_MAX {
            return Err(SchemaError::TooManyPatterns { pointer: pointer.to_owned() });
        }
        Ok(pattern)
    }
}

/// Refuses schemas that come back to themselves with the same value: checking would not end.
fn refuse_loops(nodes: &[Node]) -> Result<(), SchemaError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; nodes.len()];
    for start in 0..nodes.len() {
        let mut path: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            path.push((start, nodes[start].beside().collect()));
        }
        while let Some((id, next)) = path.last_mut() {
            let Some(beside) = next.pop() else {
                marks[*id] = Mark::Done;
                path.pop();
                continue;
            };
            match marks[beside] {
                Mark::Done => {}
                Mark::New => {
                    marks[beside] = Mark::Open;
                    path.push((beside, nodes[beside].beside().collect()));
                }
                Mark::Open => {
                    let ids = path.iter().map(|(id, _)| *id).skip_while(|id| *id != beside);
                    let pointers = ids.map(|id| nodes[id].pointer.clone()).collect();
                    return Err(SchemaError::Loop { pointers });
                }
            }
        }
    }
    Ok(())
}

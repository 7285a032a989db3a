//! A page of SVG that reads well on a light and on a dark ground: colours are classes, set by the reader's
//! preference.

use svg::node::element::{Line, Rectangle, Style, Text, Title};
use svg::{Document, Node};

const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.panel { font-size: 13px; font-weight: 600; }
.quiet { fill: #59636e; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.ground { fill: #ffffff; }
.rule { stroke: #d1d9e0; stroke-width: 1; }
.unit { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
.ours { fill: #0969da; }
.peer { fill: #9aa7b4; }
.floor { fill: #d4a72c; }
.curve { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.quiet { fill: #9198a1; }
.ground { fill: #0d1117; }
.rule { stroke: #3d444d; }
.unit { stroke: #9198a1; }
.spread { stroke: #e6edf3; }
.ours { fill: #4493f8; }
.peer { fill: #656c76; }
.floor { fill: #bb8009; }
}
";

/// A page under way.
pub(crate) struct Page {
    document: Document,
}

impl Page {
    /// An empty page of a size in pixels.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        let document = Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .add(Title::new(title))
            .add(Style::new(STYLE));
        let mut page = Self { document };
        page.rectangle((0.0, 0.0), (width, height), "ground");
        page
    }

    /// Adds anything.
    pub(crate) fn add(&mut self, node: impl Into<Box<dyn Node>>) {
        self.document.append(node);
    }

    /// A text; its classes say where it is anchored.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), class: &str, content: impl Into<String>) {
        self.add(Text::new(content.into()).set("x", place(x)).set("y", place(y)).set("class", class));
    }

    /// A filled rectangle.
    pub(crate) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        let rectangle = Rectangle::new().set("x", place(x)).set("y", place(y)).set("class", class);
        self.add(rectangle.set("width", place(width)).set("height", place(height)));
    }

    /// A straight line.
    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let line = Line::new().set("x1", place(x1)).set("y1", place(y1)).set("class", class);
        self.add(line.set("x2", place(x2)).set("y2", place(y2)));
    }

    /// The page's text.
    pub(crate) fn finish(self) -> String {
        self.document.to_string() + "\n"
    }
}

/// A tenth of a pixel is enough.
pub(crate) fn place(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

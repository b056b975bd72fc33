//! The founding document as blocks.

/// The document, kept here word for word.
const TEXT: &str = include_str!("dynamic-connection-limiting.md");

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The heading or the bold line above it.
    pub(crate) title: &'static str,
    pub(crate) language: &'static str,
    pub(crate) text: String,
}

/// A request as the document prints it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

pub(crate) fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut title = "";
    let mut lines = TEXT.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .fold(String::new(), |text, line| text + line + "\n");
            blocks.push(Block { title, language, text });
        } else if let Some(bold) = line.strip_prefix("**").and_then(|rest| rest.strip_suffix("**")) {
            title = bold;
        } else if line.starts_with('#') {
            title = line.trim_start_matches(['#', ' ']);
        }
    }
    blocks
}

/// The only block of that language under that title.
#[track_caller]
pub(crate) fn block(language: &str, title: &str) -> String {
    let mut found = blocks().into_iter().filter(|block| block.language == language && block.title == title);
    let (Some(block), None) = (found.next(), found.next()) else {
        panic!("not exactly one {language} block under {title:?}")
    };
    block.text
}

pub(crate) fn bash(title: &str) -> String {
    block("bash", title)
}

/// A printed JSON document, without the white space between tokens.
pub(crate) fn json(title: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let compact = |character: &char| {
        let keep = in_string || !character.is_whitespace();
        in_string ^= *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        keep
    };
    block("json", title).chars().filter(compact).collect()
}

/// The lines of a block that are commands.
pub(crate) fn commands(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

impl Request {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let mut lines = head.lines();
        let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: lines.map(str::to_owned).collect(),
            body: body.to_owned(),
        }
    }
}

//! What a buildpack says: steps as `- text`, details and tools' output indented under them.

/// Says what is being done.
pub fn step(text: impl AsRef<str>) {
    println!("- {}", text.as_ref());
}

/// Says something about the step above.
pub fn detail(text: impl AsRef<str>) {
    println!("  {}", text.as_ref());
}

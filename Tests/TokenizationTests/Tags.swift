import Testing

extension Tag {
    /// Compares with values recorded from the reference.
    @Tag static var golden: Self
    /// Draws many cases and checks what holds for all of them.
    @Tag static var property: Self
}

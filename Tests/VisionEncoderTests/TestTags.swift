import Testing

extension Tag {
    /// Compares with recorded results of the reference.
    @Tag static var golden: Self
    /// Holds for any input.
    @Tag static var property: Self
}

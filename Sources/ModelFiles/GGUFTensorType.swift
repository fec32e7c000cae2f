internal import Tensors

/// The number by which a GGUF file names the type of a tensor's elements (`ggml_type` in ggml.h).
enum GGUFTensorType {
    private static let types: [(number: UInt32, elementType: ElementType)] = [
        (0, .float32), (1, .float16), (2, .q4_0), (3, .q4_1), (6, .q5_0), (7, .q5_1), (8, .q8_0), (12, .q4_K),
        (13, .q5_K), (14, .q6_K), (24, .int8), (25, .int16), (26, .int32), (27, .int64), (28, .float64),
        (30, .bfloat16),
    ]

    /// Types that exist but cannot be used here, for messages.
    private static let others: [UInt32: String] = [
        9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
        20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
    ]

    /// The element type of a number; nil if there is none here.
    static func elementType(_ number: UInt32) -> ElementType? {
        types.first { $0.number == number }?.elementType
    }

    /// The number of an element type; nil for types that GGUF does not have.
    static func number(_ elementType: ElementType) -> UInt32? {
        types.first { $0.elementType == elementType }?.number
    }

    /// What a number without an element type stands for.
    static func name(_ number: UInt32) -> String { others[number] ?? "number \(number)" }
}

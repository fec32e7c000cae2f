import ArgumentParser
import Tensors

extension ElementType {
    /// The type's name on the command line.
    var word: String { rawValue.lowercased() }

    /// The names of types, for help and messages.
    static func words(_ types: [ElementType]) -> String {
        types.count < 2
            ? types.map(\.word).joined()
            : types.dropLast().map(\.word).joined(separator: ", ") + " or " + types[types.count - 1].word
    }

    /// Reads the name of one of some types.
    /// - Throws: `ValidationError` that lists them.
    init(_ word: String, among types: [ElementType], option: String) throws {
        guard let type = types.first(where: { $0.word == word.lowercased() }) else {
            throw ValidationError("\(option) \(word): one of \(Self.words(types))")
        }
        self = type
    }
}

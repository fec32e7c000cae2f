/// What can go wrong with training data: every case says what failed, where, and what to do next.
public enum DataError: Error, Equatable, Sendable {
    /// A file could not be read.
    case unreadable(path: String, reason: String)
    /// A file could not be written.
    case unwritable(path: String, reason: String)
    /// A line of a JSONL file, or an element of a JSON file, is not what an example must be.
    case invalidExample(file: String, place: String, expected: String, got: String)
    /// A picture of an example is not there.
    case missingImage(file: String, place: String, image: String)
    /// A picture of an example lies outside the folder of pictures.
    case imageOutsideFolder(file: String, place: String, image: String, folder: String)
    /// A picture of an example cannot be decoded.
    case badImage(file: String, place: String, reason: String)
    /// A file of data is not of its format.
    case damaged(file: String, part: String, expected: String, got: String)
    /// A data set has no such split.
    case noSuchSplit(dataset: String, split: DataSplit, available: [DataSplit])
    /// The ids of a rendered conversation do not write it back from a byte on.
    case untraceable(template: String, offset: Int, written: String, expected: String)
    /// There is nothing to train on.
    case empty(source: String)
}

extension DataError: CustomStringConvertible {
    /// What failed, where, expected, got, and the next step.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            "cannot read \(path): \(reason). Check the path and its permissions."
        case .unwritable(let path, let reason):
            "cannot write \(path): \(reason). Check that the directory exists, is writable and has room."
        case .invalidExample(let file, let place, let expected, let got):
            "\(file), \(place): expected \(expected), got \(got). Correct the example or take it out."
        case .missingImage(let file, let place, let image):
            "\(file), \(place): there is no picture \(image). Correct the path, name the folder of pictures, or skip bad "
                + "pictures."
        case .imageOutsideFolder(let file, let place, let image, let folder):
            "\(file), \(place): the picture \(image) lies outside \(folder). Move it there, or allow absolute paths if you "
                + "trust the file."
        case .badImage(let file, let place, let reason):
            "\(file), \(place): \(reason)"
        case .damaged(let file, let part, let expected, let got):
            "\(file) is damaged in \(part): expected \(expected), got \(got). Fetch the file again."
        case .noSuchSplit(let dataset, let split, let available):
            "\(dataset) has no split \(split.rawValue); it has \(available.map(\.rawValue).joined(separator: ", ")). "
                + "Choose one of these."
        case .untraceable(let template, let offset, let written, let expected):
            "a conversation in the template \(template) comes back from its ids as \(written.debugDescription) where it says "
                + "\(expected.debugDescription) (byte \(offset)): the vocabulary cannot write it. Use another tokenizer, or "
                + "train one on this data."
        case .empty(let source):
            "\(source) holds no examples. Check that it is the right file."
        }
    }
}

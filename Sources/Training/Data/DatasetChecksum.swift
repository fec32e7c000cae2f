import ModelFiles
import VisionEncoder

/// A digest over every question and every pixel of a data set, to be stored with every score.
public struct DatasetChecksum: ~Copyable {
    private let digest = SHA256()

    /// The checksum of no examples so far.
    public init() {}

    /// Takes the next example: questions, answers and types as lines, further answers where there are any, the caption,
    /// then the picture's size and pixels.
    /// - Throws: `ImageError` if the picture is a file that cannot be decoded.
    public mutating func add(_ example: TrainingExample) throws {
        for turn in example.turns {
            let further = (turn.answers ?? []).dropFirst().map { "\t\($0)" }.joined()
            digest.update("\(turn.type)\t\(turn.question)\t\(turn.answer)\(further)\n")
        }
        digest.update("\(example.caption ?? "")\n")
        guard let image = try example.image?.decoded() else { return digest.update("no image\n") }
        digest.update("\(image.width) x \(image.height)\n")
        digest.update(image.pixels)
    }

    /// SHA-256 in lower-case hexadecimal.
    public func hexadecimal() -> String { digest.hexadecimal() }

    /// The checksum of a whole data set.
    /// - Throws: As `example(at:)` of the data set and `ImageError`.
    public static func of(_ dataset: some TrainingDataset) throws -> String {
        var checksum = DatasetChecksum()
        for index in 0..<dataset.count { try checksum.add(dataset.example(at: index)) }
        return checksum.hexadecimal()
    }
}

internal import Tensors

/// A format of files that hold tensors.
public enum WeightsFormat: String, Sendable, Hashable, CaseIterable {
    /// A header in JSON, then the elements (github.com/huggingface/safetensors).
    case safetensors
    /// What `torch.save` has written since PyTorch 1.6: a zip archive of a pickle and one entry per storage.
    case pyTorch = "PyTorch"
    /// Metadata, then tensors that may be block-quantised, as llama.cpp reads them (`GGUFFile`).
    case gguf = "GGUF"
    /// A graph of operations with its weights (github.com/onnx/onnx).
    case onnx = "ONNX"

    /// Recognises a file by its first bytes.
    /// - Throws: `CheckpointError.unsupportedFormat` with the name of what the file is instead, as far as it is known.
    init(recognising file: MemoryMappedFile) throws {
        let start = file.bytes(in: 0..<min(file.byteCount, 512))
        func refusal(_ found: String, _ advice: String) -> CheckpointError {
            .unsupportedFormat(file: file.path, found: found, advice: advice)
        }
        func begins(_ text: String) -> Bool { start.starts(with: text.utf8) }

        if start.isEmpty { throw refusal("empty", "fetch it again") }
        if begins("PK\u{3}\u{4}") {
            self = .pyTorch
        } else if begins("PK\u{5}\u{6}") {
            throw refusal("an empty zip archive", "fetch it again")
        } else if begins("GGUF") {
            self = .gguf
        } else if begins("version https://git-lfs") {
            throw refusal(
                "a Git LFS pointer, not the weights", "run `git lfs pull` where it was cloned, or fetch the file itself"
            )
        } else if Self.isHTML(start) {
            throw refusal(
                "a web page, not weights", "the address leads to a page about the file; fetch the file itself")
        } else if start.first == 0x80, start.count > 1, start[1] <= 5, !Self.hasHeader(start) {
            throw refusal(
                "a PyTorch file from before version 1.6 or another bare pickle",
                "save it again: torch.save(torch.load(path, weights_only=True), path)")
        } else if begins("\u{89}HDF") || start.starts(with: [0x89, 0x48, 0x44, 0x46]) {
            throw refusal("an HDF5 file", "give the safetensors or PyTorch weights")
        } else if start.starts(with: [0x1F, 0x8B]) {
            throw refusal("compressed with gzip", "unpack it first")
        } else if !Self.hasHeader(start), ONNXFile.hasStructure(file) {
            self = .onnx
        } else if Self.hasHeader(start) || file.path.hasSuffix(".safetensors") {
            self = .safetensors
        } else {
            let bytes = start.prefix(8).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
            throw refusal(
                "of no known format (it begins with \(bytes.joined(separator: " ")))",
                "give a safetensors or GGUF file or one that torch.save wrote")
        }
    }

    /// Whether the bytes can be the start of a safetensors file: a length below 2^56 and a brace.
    private static func hasHeader(_ start: [UInt8]) -> Bool {
        start.count > 8 && start[7] == 0 && start[8] == UInt8(ascii: "{")
    }

    private static func isHTML(_ start: [UInt8]) -> Bool {
        let text = String(decoding: start, as: UTF8.self).lowercased().drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        return text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml")
    }

    /// Throws unless `file` is of this format.
    func check(_ file: MemoryMappedFile) throws {
        let found = try WeightsFormat(recognising: file)
        guard found == self else {
            throw CheckpointError.unsupportedFormat(
                file: file.path, found: "a \(found.rawValue) file", advice: "expected \(rawValue)")
        }
    }
}

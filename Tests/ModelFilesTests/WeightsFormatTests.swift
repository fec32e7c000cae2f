import ModelFiles
import TestSupport
import Testing

@Suite("Recognising files of weights")
struct WeightsFormatTests {
    @Test(
        "a file that is something else is called what it is",
        arguments: [
            ("empty", ""),
            ("Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13\n"),
            ("a web page", "<!DOCTYPE html>\n<html><head>"), ("a web page", "\n  <HTML lang=\"en\">"),
            ("from before version 1.6", "\u{80}\u{2}\u{8A}\u{A}l"),
            ("from before version 1.6", "\u{80}\u{2}}q\0."), ("an empty zip archive", "PK\u{5}\u{6}\0\0\0\0"),
            ("an HDF5 file", "\u{89}HDF\r\n\u{1A}\n"), ("compressed with gzip", "\u{1F}\u{8B}\u{8}\0"),
            ("no known format (it begins with 68 69)", "hi"),
            ("no known format (it begins with 7b 22 65 72 72 6f 72 22)", "{\"error\": \"not found\"}"),
        ])
    func foreign(what: String, text: String) throws {
        let scratch = try Scratch()
        let bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        for name in ["pytorch_model.bin", "model"] {
            let path = try scratch.write(bytes, as: name)
            for load in [{ _ = try TensorFile.load(path: $0) }, { _ = try PyTorchArchive(path: $0) }]
                as [(String) throws -> Void]
            {
                let error = try #require(throws: CheckpointError.self) { try load(path) }
                guard case .unsupportedFormat(path, let found, let advice) = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(found.contains(what) && !advice.isEmpty)
            }
        }
    }

    @Test("the contents decide, not the name")
    func contents() throws {
        let scratch = try Scratch()
        let archive = try scratch.copy(golden: "llava/query_abstractor.bin", as: "model.safetensors")
        #expect(try TensorFile.load(path: archive).count == 13)
        #expect(
            throws: CheckpointError.unsupportedFormat(
                file: archive, found: "a PyTorch file", advice: "expected safetensors")
        ) {
            try SafetensorsFile(path: archive)
        }
        let safetensors = try scratch.copy(golden: "mqt/weights.safetensors", as: "pytorch_model.bin")
        #expect(try TensorFile.load(path: safetensors).count == 13)
        #expect(throws: CheckpointError.self) { try PyTorchArchive(path: safetensors) }
    }
}

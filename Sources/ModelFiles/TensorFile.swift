public import Tensors

/// A file of tensors in any format this module reads.
public enum TensorFile {
    /// The tensors of the file at `path`, by name; its format is recognised by its first bytes.
    /// - Throws: `CheckpointError`; a file that holds no tensors at all throws nothing and gives none.
    public static func load(path: String) throws -> [String: Tensor] {
        try read(path: path).tensors
    }

    /// What a file of tensors holds.
    struct Contents {
        var format: WeightsFormat
        var byteCount: Int
        var tensors: [String: Tensor]
        /// The file with its metadata, if it is GGUF.
        var gguf: GGUFFile?
    }

    /// The tensors of the file at `path`, its format and its size.
    static func read(path: String) throws -> Contents {
        let file = try MemoryMappedFile.open(path)
        let format = try WeightsFormat(recognising: file)
        let gguf = format == .gguf ? try GGUFFile(file) : nil
        let tensors =
            switch format {
            case .safetensors: try SafetensorsFile(file).tensors
            case .pyTorch: try PyTorchArchive(file).tensors
            case .gguf: gguf?.tensors ?? [:]
            case .onnx: try ONNXFile(file).tensors()
            }
        return Contents(format: format, byteCount: file.byteCount, tensors: tensors, gguf: gguf)
    }
}

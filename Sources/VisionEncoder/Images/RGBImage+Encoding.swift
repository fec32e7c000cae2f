import CImageCodecs

extension RGBImage {
    /// This picture as the bytes of a PNG file.
    /// - Throws: `ImageError.tooMuchMemory` if the library cannot encode it.
    public func pngBytes() throws -> [UInt8] {
        var message = [CChar](repeating: 0, count: 256)
        return try message.withUnsafeMutableBufferPointer { message in
            var report = vlm_image_report(message: message.baseAddress, capacity: message.count, warnings: 0)
            var capacity = 0
            _ = vlm_png_encode(pixels, Int64(width), Int64(height), nil, &capacity, &report)
            return try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                count = capacity
                let status = vlm_png_encode(
                    pixels, Int64(width), Int64(height), buffer.baseAddress, &count, &report)
                guard status == VLM_IMAGE_OK else {
                    count = 0
                    let reason = message.baseAddress.map { String(cString: $0) } ?? ""
                    throw ImageError.tooMuchMemory(source: "a picture of \(width) x \(height)", reason: reason)
                }
            }
        }
    }
}

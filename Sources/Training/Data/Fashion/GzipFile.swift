import CZlib
import Foundation

/// Reads files that gzip packed.
enum GzipFile {
    /// The unpacked bytes of the file at `path`, which must have no more than `limit`.
    ///
    /// - Throws: `DataError.unreadable`, or `.damaged` if the stream is broken, cut short, followed by other bytes, or
    ///   longer than the limit, of which no more is ever allocated.
    static func bytes(at path: String, limit: Int) throws -> [UInt8] {
        let packed: Data
        do { packed = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe) } catch {
            throw DataError.unreadable(path: path, reason: error.localizedDescription)
        }
        return try unpack([UInt8](packed), limit: limit, path: path)
    }

    static func unpack(_ packed: [UInt8], limit: Int, path: String) throws -> [UInt8] {
        func damaged(_ expected: String, _ got: String) -> DataError {
            .damaged(file: path, part: "the gzip stream", expected: expected, got: got)
        }
        guard packed.count <= Int(UInt32.max) else { throw damaged("less than 4 GB", "\(packed.count) bytes") }
        var stream = z_stream()
        // 16: a gzip header and its checksum are required.
        guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw DataError.unreadable(path: path, reason: "zlib \(String(cString: zlibVersion())) did not start")
        }
        defer { inflateEnd(&stream) }
        var unpacked: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        var input = packed
        return try input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            while true {
                let (status, count) = chunk.withUnsafeMutableBufferPointer { output in
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    let status = inflate(&stream, Z_NO_FLUSH)
                    return (status, output.count - Int(stream.avail_out))
                }
                guard count <= limit - unpacked.count else { throw damaged("at most \(limit) bytes", "more") }
                unpacked += chunk[..<count]
                switch status {
                case Z_STREAM_END:
                    guard stream.avail_in == 0 else { throw damaged("the end", "\(stream.avail_in) more bytes") }
                    return unpacked
                case Z_OK where count > 0 || stream.avail_in > 0: continue
                case Z_OK, Z_BUF_ERROR: throw damaged("its end", "the end of the file after \(packed.count) bytes")
                default:
                    throw damaged("gzip data", stream.msg.map { String(cString: $0) } ?? "zlib's error \(status)")
                }
            }
        }
    }
}

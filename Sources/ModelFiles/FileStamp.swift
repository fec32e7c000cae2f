import Foundation

/// What says whether files are still those that something was made from: names, sizes and times of change.
public enum FileStamp {
    /// The path and a digest of what says so about the file, or about the files below the directory.
    public static func of(_ path: String) -> String {
        let manager = FileManager.default
        let below = (manager.enumerator(atPath: path)?.allObjects as? [String] ?? []).sorted()
        let digest = SHA256()
        for name in [""] + below {
            let file = name.isEmpty ? path : path + "/" + name
            guard let facts = try? manager.attributesOfItem(atPath: file),
                facts[.type] as? FileAttributeType != .typeDirectory
            else { continue }
            let time = (facts[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            digest.update("\(name)\t\(facts[.size] as? Int ?? 0)\t\(time)\n")
        }
        return "\(path) \(digest.hexadecimal().prefix(16))"
    }
}

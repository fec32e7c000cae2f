import Foundation

/// The folder that the pictures of a data file lie in, and what may lie outside it.
public struct ImageFolder: Sendable {
    /// The folder.
    public let path: String
    /// Whether a file may name pictures anywhere: by absolute paths, or out of the folder by `..` or links.
    public let allowsOutside: Bool

    /// A folder; files from others should not reach outside it.
    public init(path: String, allowsOutside: Bool = false) {
        self.path = path
        self.allowsOutside = allowsOutside
    }

    /// The path of a picture that a data file names.
    ///
    /// - Throws: `DataError.missingImage` or `.imageOutsideFolder`.
    public func resolve(_ image: String, file: String, place: String) throws -> String {
        let outside = DataError.imageOutsideFolder(file: file, place: place, image: image, folder: path)
        guard !image.isEmpty, !image.utf8.contains(0) else {
            throw DataError.invalidExample(
                file: file, place: place, expected: "the path of a picture", got: image.debugDescription)
        }
        let isAbsolute = image.hasPrefix("/")
        if isAbsolute, !allowsOutside { throw outside }
        let url = isAbsolute ? URL(filePath: image) : URL(filePath: path).appending(path: image)
        // Links are followed before the comparison, so that neither they nor ".." lead out.
        let root = URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.pathComponents
        let target = url.standardizedFileURL.resolvingSymlinksInPath().standardizedFileURL
        if !allowsOutside, !target.pathComponents.starts(with: root) { throw outside }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: target.path, isDirectory: &isDirectory), !isDirectory.boolValue
        else { throw DataError.missingImage(file: file, place: place, image: target.path) }
        return target.path
    }
}

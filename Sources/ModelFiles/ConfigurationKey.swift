/// The spelling of configuration keys in Swift and in the JSON files of Hugging Face.
public enum ConfigurationKey {
    /// `mmVisionTower` as the files spell it, `mm_vision_tower`.
    public static func snakeCase(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }
}

// Where a walk through a tree stands: a chain of steps on the stack, made into text only when there
// is something to tell. Of any depth, unlike FieldPath.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace keles {

class TreePath {
 public:
  TreePath() = default;  // the root
  // `path` as it is.
  static TreePath text(std::string_view path) { return TreePath(nullptr, path, kText); }
  // The step must not outlive this. In the text: "a.name", "a[key]", "a[3]".
  TreePath child(std::string_view name) const { return TreePath(this, name, kName); }
  TreePath key(std::string_view key) const { return TreePath(this, key, kKey); }
  TreePath index(size_t i) const { return TreePath(this, {}, static_cast<ptrdiff_t>(i)); }

  bool is_root() const { return parent_ == nullptr && kind_ == kRoot; }
  // "" for the root.
  std::string text() const {
    std::string out;
    append_to(out);
    return out;
  }

 private:
  static constexpr ptrdiff_t kRoot = -1, kName = -2, kKey = -3, kText = -4;
  TreePath(const TreePath* parent, std::string_view name, ptrdiff_t kind)
      : parent_(parent), name_(name), kind_(kind) {}
  void append_to(std::string& out) const {
    if (parent_ != nullptr) parent_->append_to(out);
    switch (kind_) {
      case kRoot:
        return;
      case kName:
        if (!out.empty()) out += '.';
        [[fallthrough]];
      case kText:
        out += name_;
        return;
      case kKey:
        out.append("[").append(name_).append("]");
        return;
      default:
        out += '[' + std::to_string(kind_) + ']';
    }
  }
  const TreePath* parent_ = nullptr;
  std::string_view name_;
  ptrdiff_t kind_ = kRoot;
};

}  // namespace keles

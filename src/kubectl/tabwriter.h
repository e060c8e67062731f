// Columns of text, aligned as Go's text/tabwriter does it: a tab ends a cell; a column is a run of
// neighbouring lines that have a cell there; its width is its widest cell and the padding. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keles::kubectl {

struct TabOptions {
  size_t min_width = 0, padding = 2;
};

// `text` with its tabs replaced. The last cell of a line is never padded. With `remembered`,
// columns are at least as wide as the ones before and leave their widths there (a watch goes on
// aligned).
std::string align(std::string_view text, TabOptions options = {},
                  std::vector<size_t>* remembered = nullptr);
// The columns of `kubectl get`.
inline constexpr TabOptions kTableColumns{6, 3};

// Text of the cluster for a person's eyes: a terminal's escapes are shown, not obeyed.
std::string escape_terminal(std::string_view s);

// Code points, as tabwriter counts them.
size_t text_width(std::string_view s);

}  // namespace keles::kubectl

#include "kubectl/tabwriter.h"

#include <algorithm>
#include <utility>

namespace keles::kubectl {
namespace {

struct Aligner {
  std::vector<std::vector<std::string_view>> lines;
  std::vector<size_t> widths;
  TabOptions options;
  std::vector<size_t>* remembered = nullptr;
  std::string out;

  void write_line(const std::vector<std::string_view>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
      out += cells[i];
      if (i + 1 == cells.size()) break;
      size_t used = text_width(cells[i]);
      if (i < widths.size() && widths[i] > used) out.append(widths[i] - used, ' ');
    }
    out += '\n';
  }

  // Lines [from, to) under the columns that are known; the next column's blocks are found here.
  void format(size_t from, size_t to) {
    size_t column = widths.size();
    size_t line = from;
    while (line < to) {
      if (column + 1 >= lines[line].size()) {
        write_line(lines[line++]);
        continue;
      }
      size_t end = line, width = options.min_width;
      for (; end < to && column + 1 < lines[end].size(); ++end) {
        width = std::max(width, text_width(lines[end][column]) + options.padding);
      }
      if (remembered) {
        if (remembered->size() <= column) remembered->resize(column + 1);
        width = (*remembered)[column] = std::max((*remembered)[column], width);
      }
      widths.push_back(width);
      format(line, end);
      widths.pop_back();
      line = end;
    }
  }
};

}  // namespace

std::string escape_terminal(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == '\x1b') {
      out += "^[";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out;
}

size_t text_width(std::string_view s) {
  return static_cast<size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string align(std::string_view text, TabOptions options, std::vector<size_t>* remembered) {
  Aligner a;
  a.options = options;
  a.remembered = remembered;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    std::vector<std::string_view> cells;
    for (;;) {
      size_t tab = line.find('\t');
      cells.push_back(line.substr(0, tab));
      if (tab == line.npos) break;
      line = line.substr(tab + 1);
    }
    a.lines.push_back(std::move(cells));
  }
  a.format(0, a.lines.size());
  return std::move(a.out);
}

}  // namespace keles::kubectl

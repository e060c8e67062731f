// How objects are shown: -o json, yaml, kyaml, name, go-template, jsonpath, custom-columns, and the
// server's tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/flags.h"
#include "kubectl/go_template.h"
#include "kubectl/jsonpath.h"
#include "kubectl/mapper.h"
#include "machinery/value.h"

namespace keles::kubectl {

// "deployment.apps/web", from the object's own kind.
std::string display_of(const Value& object);
std::string kind_and_group(const Value& object);  // "deployment.apps"
// As Go's fmt prints a value: map[a:b], [1 2].
std::string go_text(const Value& v);
// "a=b,c=d", sorted; "<none>" when there are none.
std::string labels_text(const Value& labels);

// -o and its companions.
struct OutputFlags {
  std::string output, template_text;
  bool show_managed_fields = false, allow_missing = true;
  void add_to(Flags& flags);
};

// Writes objects one after the other in one machine-readable form.
class ObjectPrinter {
 public:
  // Whether -o names a form at all; an error for one that is unknown. "wide" and "" are tables:
  // no printer.
  static Result<std::optional<ObjectPrinter>> make(const OutputFlags& flags, bool wide_allowed,
                                                   bool headers = true);
  Result<std::string> print(const Value& object);

 private:
  enum class Form {
    kJson,
    kYaml,
    kKyaml,
    kName,
    kGoTemplate,
    kJsonPath,
    kJsonPathAsJson,
    kColumns
  };
  struct Column {
    std::string header;
    JsonPath path;
  };
  static bool offered(Form form);
  Status read_template(std::string argument, bool is_file, bool allow_missing);
  Result<std::string> fill_template(const Value& object);
  Status read_columns(std::string_view spec);
  Status read_columns_file(std::string_view text);
  Result<std::string> columns_of(const Value& object);
  Form form_ = Form::kJson;
  bool managed_fields_ = false, headers_ = true;
  int printed_ = 0;
  std::string template_;
  GoTemplate go_template_;
  JsonPath path_;
  std::vector<Column> columns_;
  std::vector<size_t> widths_;
};

struct TableOptions {
  bool wide = false, with_namespace = false, show_labels = false, headers = true;
  std::vector<std::string> label_columns;
  std::string kind_prefix;  // "deployment.apps": names become TYPE/NAME
};

// Tables of one kind, written with common columns.
class TablePrinter {
 public:
  explicit TablePrinter(TableOptions options) : options_(std::move(options)) {}
  // Rows in the order given; `event` is the first column of --output-watch-events.
  void add(const Value& table, std::string_view event = {});
  void add_row(const Value& table, const Value& row, std::string_view event = {});
  // What has been added since, aligned.
  std::string take();
  bool empty() const { return text_.empty(); }

 private:
  struct Column {
    std::string name;
    bool shown, is_name;
  };
  void set_columns(const Value& table, bool with_event);
  TableOptions options_;
  std::vector<Column> columns_;
  bool header_written_ = false;
  std::string text_;
  std::vector<size_t> widths_;
};

}  // namespace keles::kubectl

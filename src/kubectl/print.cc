#include "kubectl/print.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/encoding.h"
#include "base/file.h"
#include "base/text_parts.h"
#include "kubectl/command.h"
#include "kubectl/errors.h"
#include "kubectl/go_format.h"
#include "kubectl/kyaml.h"
#include "kubectl/tabwriter.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

std::string upper(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool is_list(const Value& v) {
  return v["items"].is_list() && v["kind"].as_string().ends_with("List");
}

// Without metadata.managedFields, also in the items of a list.
Document without_managed_fields(const Value& v) {
  Document d;
  d.root = deep_copy(d.arena, v);
  if (Value* meta = d.root.find("metadata")) meta->erase("managedFields");
  if (is_list(d.root)) {
    for (Value& item : d.root.find("items")->items()) {
      if (Value* meta = item.find("metadata")) meta->erase("managedFields");
    }
  }
  return d;
}

std::string sorted_json(const Value& v) {
  std::string compact;
  write_json(compact, v, true);
  return indent_json(compact, 4) + "\n";
}

Result<std::string> template_file(const std::string& path) {
  Result<std::string> text = read_file(path, 64 << 10);
  if (!text.ok()) {
    // The system's words as Go has them, without capitals.
    std::string message = text.status().message();
    size_t words = message.rfind(": ");
    if (words != message.npos) message.replace(words, message.npos, lower(message.substr(words)));
    return failure("error reading --template " + path + ", " + message);
  }
  return text;
}

// One line of it, and what would make another column or more lines taken out.
void append_cell(std::string& out, std::string_view text) {
  size_t end = text.find_first_of("\f\n\r");
  std::string shown = escape_terminal(text.substr(0, end));
  std::replace(shown.begin(), shown.end(), '\t', ' ');
  out += shown;
  if (end != text.npos) out += "...";
}

}  // namespace

std::string kind_and_group(const Value& object) {
  std::string kind = lower(object["kind"].as_string());
  std::string_view api = object["apiVersion"].as_string();
  size_t slash = api.find('/');
  return slash == api.npos ? kind : kind + "." + std::string(api.substr(0, slash));
}

std::string display_of(const Value& object) {
  return kind_and_group(object) + "/" + std::string(object["metadata"]["name"].as_string());
}

std::string go_text(const Value& v) {
  GoValue value = GoValue::of(v, false);
  Result<std::string> text = go_sprint(std::span<const GoValue>(&value, 1));
  return text.ok() ? *text : "";
}

std::string labels_text(const Value& labels) {
  std::vector<std::string> parts;
  for (const Member& m : labels.members()) {
    parts.push_back(std::string(m.key()) + "=" + std::string(m.value.as_string()));
  }
  std::sort(parts.begin(), parts.end());
  std::string out;
  for (const std::string& p : parts) out += (out.empty() ? "" : ",") + p;
  return out.empty() ? "<none>" : out;
}

void OutputFlags::add_to(Flags& flags) {
  flags.add(
      "output", &output,
      "Output format. One of: (json, yaml, kyaml, name, go-template, go-template-file, template, "
      "templatefile, jsonpath, jsonpath-as-json, jsonpath-file, custom-columns, "
      "custom-columns-file, wide).",
      'o');
  flags.add("template", &template_text,
            "Template string or path to template file to use when -o=go-template, "
            "-o=go-template-file. The template format is golang templates "
            "[http://golang.org/pkg/text/template/#pkg-overview].");
  flags.add("show-managed-fields", &show_managed_fields,
            "If true, keep the managedFields when printing objects in JSON or YAML format.");
  flags.add("allow-missing-template-keys", &allow_missing,
            "If true, ignore any errors in templates when a field or map key is missing in the "
            "template. Only applies to golang and jsonpath output formats.");
}

Result<std::optional<ObjectPrinter>> ObjectPrinter::make(const OutputFlags& flags,
                                                         bool wide_allowed, bool headers) {
  std::string form = flags.output, argument = flags.template_text;
  if (form.empty() && !argument.empty()) form = "go-template";
  if (form.empty() || (form == "wide" && wide_allowed)) return std::optional<ObjectPrinter>();
  for (std::string_view with_argument :
       {"jsonpath-as-json", "jsonpath-file", "jsonpath", "custom-columns-file", "custom-columns",
        "go-template-file", "go-template", "templatefile", "template"}) {
    if (!argument.empty()) break;
    std::string prefix = std::string(with_argument) + "=";
    if (!form.starts_with(prefix)) continue;
    argument = form.substr(prefix.size());
    form = with_argument;
    break;
  }
  ObjectPrinter p;
  p.managed_fields_ = flags.show_managed_fields;
  p.headers_ = headers;
  static const std::map<std::string, Form, std::less<>> kPlain = {
      {"json", Form::kJson}, {"yaml", Form::kYaml}, {"kyaml", Form::kKyaml}, {"name", Form::kName}};
  if (auto plain = kPlain.find(lower(form)); plain != kPlain.end() && offered(plain->second)) {
    p.form_ = plain->second;
    return std::optional(std::move(p));
  }
  if (form == "go-template" || form == "go-template-file" || form == "template" ||
      form == "templatefile") {
    TRY(p.read_template(argument, form.ends_with("file"), flags.allow_missing));
    return std::optional(std::move(p));
  }
  if (form == "jsonpath" || form == "jsonpath-file" || form == "jsonpath-as-json") {
    if (argument.empty()) {
      return failure("template format specified but no template given");
    }
    if (form == "jsonpath-file") {
      TRY_ASSIGN(text, template_file(argument));
      argument = text;
    }
    p.form_ = form == "jsonpath-as-json" ? Form::kJsonPathAsJson : Form::kJsonPath;
    p.template_ = argument;
    Result<JsonPath> path = JsonPath::parse(argument);
    if (!path.ok()) {
      return failure("error parsing jsonpath " + argument + ", " + path.status().message());
    }
    p.path_ = std::move(*path);
    p.path_.set_allow_missing(flags.allow_missing);
    return std::optional(std::move(p));
  }
  if (wide_allowed && (form == "custom-columns" || form == "custom-columns-file")) {
    if (argument.empty()) {
      return failure("custom-columns format specified but no custom columns given");
    }
    p.form_ = Form::kColumns;
    if (form == "custom-columns-file") {
      TRY_ASSIGN(text, template_file(argument));
      TRY(p.read_columns_file(text));
    } else {
      TRY(p.read_columns(argument));
    }
    return std::optional(std::move(p));
  }
  return failure(
      "unable to match a printer suitable for the output format \"" + flags.output +
      "\", allowed formats are: " + (wide_allowed ? "custom-columns,custom-columns-file," : "") +
      "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file," +
      (offered(Form::kKyaml) ? "kyaml," : "") + "name,template,templatefile," +
      (wide_allowed ? "wide," : "") + "yaml");
}

// KUBECTL_KYAML=false takes KYAML away.
bool ObjectPrinter::offered(Form form) {
  const char* kyaml = std::getenv("KUBECTL_KYAML");
  return form != Form::kKyaml || !kyaml || lower(kyaml) != "false";
}

Status ObjectPrinter::read_template(std::string argument, bool is_file, bool allow_missing) {
  if (argument.empty()) return failure("template format specified but no template given");
  if (is_file) {
    TRY_ASSIGN(text, template_file(argument));
    argument = text;
  }
  form_ = Form::kGoTemplate;
  template_ = argument;
  Result<GoTemplate> read = GoTemplate::parse("output", argument);
  if (!read.ok()) {
    return failure("error parsing template " + argument + ", " + read.status().message());
  }
  go_template_ = std::move(*read);
  go_template_.set_allow_missing(allow_missing);
  return Status();
}

// What there is until an error is printed, and what helps to find it.
Result<std::string> ObjectPrinter::fill_template(const Value& object) {
  std::string out;
  Status run = go_template_.execute(object, &out);
  if (run.ok()) return out;
  std::string raw;
  write_json(raw, object, true);
  keles::kubectl::print(out + "Error executing template: " + run.message() +
                        ". Printing more information for debugging the template:\n"
                        "\ttemplate was:\n\t\t" +
                        template_ + "\n\traw data was:\n\t\t" + raw +
                        "\n\tobject given to template engine was:\n\t\t" + go_text(object) +
                        "\n\n");
  return failure("error executing template " + quoted(template_) + ": " + run.message());
}

Status ObjectPrinter::read_columns(std::string_view spec) {
  for (std::string_view one : split_list(spec)) {
    size_t colon = one.find(':');
    if (colon == one.npos) {
      return failure("unexpected custom-columns spec: " + std::string(one) +
                     ", expected <header>:<json-path-expr>");
    }
    TRY_ASSIGN(expression, JsonPath::relaxed(one.substr(colon + 1)));
    TRY_ASSIGN(path, JsonPath::parse(expression));
    columns_.push_back({std::string(one.substr(0, colon)), path});
  }
  return Status();
}

// Two lines: headers, and a path beneath each.
Status ObjectPrinter::read_columns_file(std::string_view text) {
  auto words = [&text] {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    std::vector<std::string> out;
    for (size_t i = 0; i < line.size();) {
      size_t start = line.find_first_not_of(" \t\r", i);
      if (start == line.npos) break;
      i = std::min(line.find_first_of(" \t\r", start), line.size());
      out.emplace_back(line.substr(start, i - start));
    }
    return out;
  };
  std::vector<std::string> headers = words(), paths = words();
  if (headers.empty() || headers.size() != paths.size()) {
    return failure("number of headers (" + std::to_string(headers.size()) +
                   ") and field specifications (" + std::to_string(paths.size()) + ") don't match");
  }
  for (size_t i = 0; i < headers.size(); ++i) {
    TRY_ASSIGN(expression, JsonPath::relaxed(paths[i]));
    TRY_ASSIGN(path, JsonPath::parse(expression));
    columns_.push_back({headers[i], path});
  }
  return Status();
}

Result<std::string> ObjectPrinter::columns_of(const Value& object) {
  std::string text;
  if (headers_ && printed_ == 0) {
    for (size_t i = 0; i < columns_.size(); ++i) text += (i ? "\t" : "") + columns_[i].header;
    text += '\n';
  }
  auto row = [&](const Value& one) -> Status {
    for (size_t i = 0; i < columns_.size(); ++i) {
      TRY_ASSIGN(found, columns_[i].path.find(one));
      std::string cell;
      if (!found.empty()) {
        for (const Value* v : found[0]) {
          cell += (cell.empty() ? "" : ",") + go_text(*v);
        }
      }
      if (found.empty() || found[0].empty()) cell = "<none>";
      if (i) text += '\t';
      append_cell(text, cell);
    }
    text += '\n';
    return Status();
  };
  if (is_list(object)) {
    for (const Value& item : object["items"].items()) TRY(row(item));
  } else {
    TRY(row(object));
  }
  return align(text, kTableColumns, &widths_);
}

Result<std::string> ObjectPrinter::print(const Value& object) {
  std::string out;
  if (form_ == Form::kGoTemplate) {
    TRY_ASSIGN(text, fill_template(object));
    out = text;
  } else if (form_ == Form::kJson || form_ == Form::kYaml || form_ == Form::kKyaml) {
    Document copy;
    const Value* shown = &object;
    if (!managed_fields_) {
      copy = without_managed_fields(object);
      shown = &copy.root;
    }
    if (form_ == Form::kJson) {
      out = sorted_json(*shown);
    } else if (form_ == Form::kKyaml) {
      out = "---\n" + write_kyaml(*shown);
    } else {
      out = (printed_ ? "---\n" : "") + write_yaml(*shown);
    }
  } else if (form_ == Form::kName) {
    if (is_list(object)) {
      for (const Value& item : object["items"].items()) out += display_of(item) + "\n";
    } else {
      out = display_of(object) + "\n";
    }
  } else if (form_ == Form::kColumns) {
    TRY_ASSIGN(text, columns_of(object));
    out = text;
  } else if (form_ == Form::kJsonPathAsJson) {
    TRY_ASSIGN(found, path_.find(object));
    for (const auto& values : found) {
      Document d;
      d.root = Value::list();
      for (const Value* v : values) d.root.append(d.arena, *v);
      out += sorted_json(d.root);
    }
  } else {
    Result<std::string> text = path_.execute(object);
    if (!text.ok()) {
      return failure("error executing jsonpath \"" + template_ +
                     "\": Error executing template: " + text.status().message() +
                     ". Printing more information for debugging the template:\n\ttemplate was:\n"
                     "\t\t" +
                     template_ + "\n\tobject given to jsonpath engine was:\n\t\t" +
                     go_text(object) + "\n\n");
    }
    out = *text;
  }
  ++printed_;
  return out;
}

void TablePrinter::set_columns(const Value& table, bool with_event) {
  std::vector<Column> columns;
  if (with_event) columns.push_back({"EVENT", true, false});
  if (options_.with_namespace) columns.push_back({"NAMESPACE", true, false});
  for (const Value& c : table["columnDefinitions"].items()) {
    columns.push_back({upper(c["name"].as_string()), options_.wide || c["priority"].as_int() == 0,
                       c["format"].as_string() == "name" && c["type"].as_string() == "string"});
  }
  for (const std::string& label : options_.label_columns) {
    size_t slash = label.rfind('/');
    columns.push_back({upper(slash == label.npos ? label : label.substr(slash + 1)), true, false});
  }
  if (options_.show_labels) columns.push_back({"LABELS", true, false});
  columns_ = std::move(columns);
}

void TablePrinter::add(const Value& table, std::string_view event) {
  for (const Value& row : table["rows"].items()) add_row(table, row, event);
}

void TablePrinter::add_row(const Value& table, const Value& row, std::string_view event) {
  if (!table["columnDefinitions"].empty()) set_columns(table, !event.empty());
  auto line = [this](const std::vector<std::string>& cells) {
    bool first = true;
    for (size_t i = 0; i < cells.size() && i < columns_.size(); ++i) {
      if (!columns_[i].shown) continue;
      if (!first) text_ += '\t';
      first = false;
      append_cell(text_, cells[i]);
    }
    text_ += '\n';
  };
  if (options_.headers && !header_written_) {
    std::vector<std::string> names;
    for (const Column& c : columns_) names.push_back(c.name);
    line(names);
    header_written_ = true;
  }
  std::vector<std::string> cells;
  const Value& meta = row["object"]["metadata"];
  if (!event.empty()) {
    std::string shown(event);
    shown.resize(std::max<size_t>(shown.size(), 8), ' ');
    cells.push_back(shown);
  }
  if (options_.with_namespace) cells.emplace_back(meta["namespace"].as_string());
  for (const Value& c : row["cells"].items()) {
    std::string text = c.is_null() ? "" : go_text(c);
    bool named = cells.size() < columns_.size() && columns_[cells.size()].is_name;
    if (named && !options_.kind_prefix.empty()) text = options_.kind_prefix + "/" + text;
    cells.push_back(std::move(text));
  }
  for (const std::string& label : options_.label_columns) {
    cells.emplace_back(meta["labels"][label].as_string());
  }
  if (options_.show_labels) cells.push_back(labels_text(meta["labels"]));
  line(cells);
}

std::string TablePrinter::take() {
  std::string out = align(text_, kTableColumns, &widths_);
  text_.clear();
  return out;
}

}  // namespace keles::kubectl

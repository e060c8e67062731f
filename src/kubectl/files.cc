// The files of -f: single files, directories, standard input.
#include <sys/stat.h>

#include <algorithm>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "kubectl/select.h"
#include "kubectl/url.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

constexpr int kMaxDirectories = 64;  // levels

bool is_directory(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

bool is_manifest(std::string_view name) {
  return name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml");
}

Status collect(const std::string& path, bool recursive, int depth, std::vector<std::string>* out) {
  TRY_ASSIGN(names, list_directory(path));
  for (const std::string& name : names) {
    std::string full = path + (path.ends_with('/') ? "" : "/") + name;
    if (is_directory(full)) {
      if (recursive && depth < kMaxDirectories) TRY(collect(full, recursive, depth + 1, out));
    } else if (is_manifest(name)) {
      out->push_back(full);
    }
  }
  return Status();
}

Result<std::string> text_of(const std::string& file) {
  if (file == "-") {
    std::string text(std::istreambuf_iterator<char>(std::cin), {});
    return text;
  }
  if (file.starts_with("http://") || file.starts_with("https://")) {
    return read_url(file);
  }
  Result<std::string> text = read_file(file);
  if (text.ok()) return text;
  if (text.status().is(Reason::kNotFound)) {
    return failure("the path \"" + file + "\" does not exist");
  }
  return failure("the path \"" + file + "\" cannot be accessed: " + text.status().message());
}

std::string source_name(const std::string& file) { return file == "-" ? "STDIN" : file; }

}  // namespace

void FileFlags::add_to(Flags& flags, std::string help) {
  flags.add("filename", &files, "Filename, directory, URL, or - for standard input, " + help, 'f');
  flags.add("recursive", &recursive, "Process the directory used in -f, --filename recursively.",
            'R');
}

Result<std::vector<FileDocument>> read_documents(const FileFlags& flags) {
  std::vector<FileDocument> out;
  for (const std::string& given : flags.files) {
    std::vector<std::string> files;
    if (is_directory(given)) {
      TRY(collect(given, flags.recursive, 0, &files));
      if (files.empty()) {
        return failure("error reading [" + given +
                       "]: recognized file extensions are [.json .yaml .yml]");
      }
    } else {
      files.push_back(given);
    }
    for (const std::string& file : files) {
      TRY_ASSIGN(text, text_of(file));
      Result<std::vector<Document>> docs = parse_yaml_all(text);  // JSON is YAML too
      if (!docs.ok()) {
        return failure("error parsing " + source_name(file) + ": " + docs.status().message());
      }
      for (Document& d : *docs) {
        if (d.root.is_null()) continue;
        out.push_back({std::move(d), file == "-" ? "STDIN" : file});
      }
    }
  }
  return out;
}

}  // namespace keles::kubectl

// From what a person names (types, names, TYPE/NAME, selectors, files) to requests and objects:
// kubectl's resource builder, with its errors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kubectl/command.h"
#include "kubectl/mapper.h"
#include "machinery/value.h"

namespace keles::kubectl {

// --filename, --recursive
struct FileFlags {
  std::vector<std::string> files;
  bool recursive = false;
  void add_to(Flags& flags, std::string help);
};

struct Query {
  Args args;
  FileFlags files;
  std::string label_selector, field_selector, subresource;
  bool all_namespaces = false;
  bool all = false;          // --all: a type without names means every object of it
  bool types_alone = false;  // so does a type without names and selectors
  bool many_types = true;    // false: one type only (watch, wait)
  int64_t chunk = 500;
  std::string accept, parameters;  // of the requests: Table, includeObject=...
};

// An object, or all objects of a type in a namespace (no name).
struct Target {
  const Resource* resource = nullptr;
  std::string ns, name;
  std::optional<Document> object;  // as the file has it
  std::string source;              // the file
};

struct Selection {
  std::vector<Target> targets;
  bool single = false;  // one object was asked for by name or by a file that holds one
};

struct Found {
  const Resource* resource = nullptr;
  std::string ns, name;
  Document object;
  std::shared_ptr<const Resource> own = nullptr;  // --local: what `resource` is, without a cluster
  std::string display() const { return resource->display(name); }
  std::string path(std::string_view sub = {}) const { return resource->path(ns, name, sub); }
};

Result<Selection> select(Session& session, const Query& query);
// The object, or the pages of the list.
Result<std::vector<Document>> fetch(Session& session, const Query& query, const Target& target);
// Every object that the query means, lists taken apart. What fails is added to `errors`, and the
// rest goes on; without `errors` the first failure ends it.
Result<std::vector<Found>> find_objects(Session& session, const Query& query,
                                        std::vector<Status>* errors = nullptr);
// The same of what was selected before: standard input is there to be read once.
Result<std::vector<Found>> find_objects(Session& session, const Query& query,
                                        const Selection& selection, std::vector<Status>* errors);

// The objects of the files alone (--local): no cluster is asked, kinds are what they say they are.
Result<std::vector<Found>> local_objects(const Query& query);

// The query of a request for a target: selectors, paging left out.
std::string list_parameters(const Query& query);

// Every object of the files, List kinds taken apart; namespaces filled in and checked.
Result<std::vector<Target>> read_files(Session& session, const FileFlags& files);
// The documents alone, as they are written; no cluster is needed.
struct FileDocument {
  Document object;
  std::string source;
};
Result<std::vector<FileDocument>> read_documents(const FileFlags& files);

}  // namespace keles::kubectl

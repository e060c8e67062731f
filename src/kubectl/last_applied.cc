// apply view-last-applied, apply set-last-applied: what client-side apply remembers of an object.
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

std::string_view last_applied(const Value& object) {
  return object["metadata"]["annotations"][kLastApplied].as_string();
}

// An object whose annotation differs from what its file says.
struct Change {
  Target target;
  Document live;
  std::string body;
};

std::string patch_of(const std::string& text) {
  Document d;
  Value& annotations = at(d, "metadata.annotations");
  annotations = Value::map();
  annotations.set(d.arena, kLastApplied, Value::string(d.arena.copy(text)));
  return to_json(d.root);
}

}  // namespace

Status apply_view_last_applied(Invocation& in) {
  Query q;
  std::string output = "yaml";
  in.flags.add("output", &output, "Output format. Must be one of (yaml, json)", 'o');
  in.flags.add("all", &q.all,
               "Select all resources in the namespace of the specified resource types");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  q.files.add_to(in.flags, "that contains the last-applied-configuration annotations");
  TRY(in.parse());
  q.args = in.args;
  TRY_ASSIGN(session, in.session());
  q.types_alone = session->namespace_given();  // as the stock kubectl has it
  TRY_ASSIGN(found, find_objects(*session, q));
  std::string out;
  for (const Found& f : found) {
    std::string_view text = last_applied(f.object.root);
    if (text.empty() && q.files.files.empty()) continue;
    if (text.empty()) {
      return failure("no last-applied-configuration annotation found on resource: " + f.name);
    }
    if (output != "yaml" && output != "json") {
      return in.usage("Unexpected -o output mode: " + output +
                      ", the flag 'output' must be one of yaml|json");
    }
    TRY_ASSIGN(was, parse_json(text));
    out += output == "json" ? indent_json(to_json(was.root)) + "\n" : write_yaml(was.root);
  }
  print(out);
  return Status();
}

Status apply_set_last_applied(Invocation& in) {
  FileFlags files;
  Writer writer("kubectl");
  bool create = false;
  files.add_to(in.flags, "that contains the last-applied-configuration annotations");
  writer.add_to(in.flags);
  in.flags.add("create-annotation", &create,
               "Will create 'last-applied-configuration' annotations if current objects doesn't "
               "have one");
  TRY(in.parse());
  if (!in.args.empty()) return in.usage("Unexpected args: [" + in.args[0] + "]");
  TRY(writer.prepare());
  TRY_ASSIGN(session, in.session());
  if (files.files.empty()) return select(*session, Query()).status();  // says what may be given
  TRY_ASSIGN(targets, read_files(*session, files));
  std::vector<Change> changes;  // nothing is written before all are known to be there
  for (Target& t : targets) {
    TRY_ASSIGN(live, session->call(Call("GET", t.resource->path(t.ns, t.name))));
    std::string_view text = last_applied(live.root);
    if (text.empty() && !create) {
      return failure("no last-applied-configuration annotation found on resource: " + t.name +
                     ", to create the annotation, run the command with --create-annotation");
    }
    std::string wanted;
    write_json(wanted, t.object->root, true);
    wanted += "\n";
    if (text == wanted) {
      print("set-last-applied " + t.name + ": no changes required.\n");
    } else {
      changes.push_back({std::move(t), std::move(live), patch_of(wanted)});
    }
  }
  for (const Change& c : changes) {
    if (!writer.client_only()) {
      TRY_ASSIGN(made, writer.patch(*session, *c.target.resource, c.target.ns, c.target.name,
                                    PatchType::kMerge, c.body));
      TRY(writer.report(made.root, "configured"));
    } else {
      TRY(writer.report(c.live.root, "configured"));
    }
  }
  return Status();
}

}  // namespace keles::kubectl

// cp: files and directories to and from a container, through its tar.
#include "kubectl/cp.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kubectl/pods.h"
#include "kubectl/stream.h"
#include "kubectl/tar.h"
#include "kubectl/unpack.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

struct CopyFlags {
  std::string container;
  bool no_preserve = false;
  int64_t retries = 0;
};

// A command in the container.
struct Remote {
  Session* session = nullptr;
  std::string ns, pod, path, container;

  Status run(const Args& command, const StreamEnds& ends, bool in, Duration limit = {}) const {
    StreamOptions o;
    o.in = in;
    o.ends = &ends;
    o.limit = limit;
    std::string query = stream_query(container, o);
    for (const std::string& word : command) query += "&command=" + escape_query(word);
    return run_streams(*session, path, query, o);
  }
};

Result<Remote> remote_of(Session& session, const FileSpec& spec, const CopyFlags& flags) {
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  Remote r;
  r.session = &session;
  r.ns = spec.ns.empty() ? session.ns() : spec.ns;
  r.pod = spec.pod;
  TRY(check_path_segment("namespace", r.ns));
  TRY(check_path_segment("resource", r.pod));
  TRY_ASSIGN(pod, session.call(Call("GET", pods->path(r.ns, r.pod))));
  std::string phase(pod.root["status"]["phase"].as_string());
  if (phase == "Succeeded" || phase == "Failed") {
    return failure("cannot exec into a container in a completed pod; current phase is " + phase);
  }
  TRY_ASSIGN(container, choose_container(pod.root, flags.container, false));
  r.container = container;
  r.path = pods->path(r.ns, r.pod, "exec");
  return r;
}

Status copy_to(Session& session, const FileSpec& from, const FileSpec& to, const CopyFlags& flags) {
  struct stat st {};
  if (::stat(from.file.c_str(), &st) < 0) {
    return failure(from.file + " doesn't exist in local filesystem");
  }
  TRY_ASSIGN(remote, remote_of(session, to, flags));
  std::string target = remote_path(to.file);
  StreamEnds nowhere;
  nowhere.out = nowhere.err = [](std::string_view) { return Status(); };
  Status is_directory = remote.run({"test", "-d", target}, nowhere, false, 30s);
  if (is_directory.is(Reason::kTimeout)) return failure(is_directory.message());
  if (is_directory.ok()) target = join_path(target, path_base(from.file));
  Args command = {"tar"};
  if (flags.no_preserve) {
    command.insert(command.end(), {"--no-same-permissions", "--no-same-owner"});
  }
  command.insert(command.end(), {"-xmf", "-", "-C", path_directory(target)});
  TarSource source(clean_path(from.file), path_base(clean_path(target)));
  StreamEnds ends;
  ends.read = [&source] { return source.next(); };
  return remote.run(command, ends, true);
}

// One run of the container's tar, from its byte `skip` on when it is a retry.
Args tar_command(const std::string& file, const CopyFlags& flags, uint64_t skip) {
  if (flags.retries == 0) return {"tar", "cf", "-", file};
  std::string quoted_file;
  for (char c : file) quoted_file += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return {"sh", "-c",
          "tar cf - '" + quoted_file + "' | tail -c+" + std::to_string(skip == 0 ? 0 : skip + 1)};
}

Status copy_from(Session& session, const FileSpec& from, const FileSpec& to,
                 const CopyFlags& flags) {
  TRY_ASSIGN(remote, remote_of(session, from, flags));
  std::string file = remote_path(from.file), target = to.file;
  if (target != "/" && target.ends_with('/')) target.pop_back();
  std::string hint = " (consider using \"kubectl exec -n \"" + remote.ns + "\" \"" + remote.pod +
                     "\" -- tar cf - \"" + file + "\" | tar xf -\")";
  Unpacker unpacker(archive_prefix(file), target, hint);
  TarReader reader(unpacker);
  uint64_t taken = 0, before = 0;
  Status unpacked;
  StreamEnds ends;
  ends.out = [&](std::string_view piece) {
    taken += piece.size();
    unpacked = reader.feed(piece);
    return unpacked;
  };
  ends.err = [](std::string_view piece) {
    print(piece);
    return Status();
  };
  for (int64_t retry = 0;; ++retry) {
    Status ran = remote.run(tar_command(file, flags, taken), ends, false);
    if (!unpacked.ok()) return unpacked;
    if (reader.ended()) return ran;
    // What the container's tar itself says is no matter of the connection.
    bool lost = ran.ok() || exit_code_of(ran) <= 1;
    if (!lost || (flags.retries >= 0 && retry >= flags.retries)) {
      if (!ran.ok()) return ran;
      print("Dropping out copy after " + std::to_string(retry) + " retries\n");
      return reader.between_entries() ? Status() : failure("unexpected EOF");
    }
    if (std::exchange(before, taken) == taken) session.sleep(1s);
    print("Resuming copy at " + std::to_string(taken) + " bytes, retry " +
          std::to_string(retry + 1) + "/" + std::to_string(flags.retries) + "\n");
  }
}

}  // namespace

std::string remote_path(std::string_view path) {
  std::string s(path);
  std::replace(s.begin(), s.end(), '\\', '/');
  if (s != "/" && s.ends_with('/')) s.pop_back();
  return s;
}

std::string clean_path(std::string_view path) {
  bool rooted = path.starts_with('/');
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!rooted) {
      parts.push_back(part);
    }
  }
  std::string out = rooted ? "/" : "";
  for (std::string_view part : parts) {
    if (!out.empty() && out != "/") out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

std::string join_path(std::string_view a, std::string_view b) {
  if (a.empty()) return clean_path(b);
  return clean_path(std::string(a) + "/" + std::string(b));
}

std::string path_directory(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == path.npos ? "." : clean_path(path.substr(0, slash + 1));
}

std::string path_base(std::string_view path) {
  if (path.empty()) return ".";
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/") return "/";
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string archive_prefix(std::string_view remote) {
  while (remote.starts_with('/') || remote.starts_with('\\')) remote.remove_prefix(1);
  std::string p = clean_path(remote);
  while (p.starts_with("../")) p.erase(0, 3);
  return p == "." || p == ".." ? "" : p;
}

Result<std::string> below_target(std::string_view target, std::string_view rest) {
  std::string relative = clean_path("./" + std::string(rest));
  if (relative == ".") return std::string();
  if (relative == ".." || relative.starts_with("../")) {
    return Status(Reason::kForbidden, join_path(target, rest));
  }
  return relative;
}

Result<FileSpec> parse_file_spec(std::string_view word) {
  Status bad = failure("filespec must match the canonical format: [[namespace/]pod:]file/path");
  size_t colon = word.find(':');
  FileSpec out;
  if (colon == 0) return bad;
  if (colon == word.npos) {
    out.file = word;
    return out;
  }
  std::string_view pod = word.substr(0, colon);
  out.file = word.substr(colon + 1);
  size_t slash = pod.find('/');
  if (slash != pod.npos && pod.find('/', slash + 1) != pod.npos) return bad;
  if (slash != pod.npos) {
    out.ns = pod.substr(0, slash);
    pod.remove_prefix(slash + 1);
  }
  out.pod = pod;
  return out;
}

Status cp(Invocation& in) {
  CopyFlags flags;
  in.flags.add("container", &flags.container,
               "Container name. If omitted, use the kubectl.kubernetes.io/default-container "
               "annotation for selecting the container to be attached or the first container in "
               "the pod will be chosen",
               'c');
  in.flags.add("no-preserve", &flags.no_preserve,
               "The copied file/directory's ownership and permissions will not be preserved in the "
               "container");
  in.flags.add("retries", &flags.retries,
               "Set number of retries to complete a copy operation from a container. Specify 0 to "
               "disable or any negative value for infinite retrying. The default is 0 (no retry).");
  TRY(in.parse());
  if (in.args.size() != 2) return failure("source and destination are required");
  TRY_ASSIGN(from, parse_file_spec(in.args[0]));
  TRY_ASSIGN(to, parse_file_spec(in.args[1]));
  if (!from.pod.empty() && !to.pod.empty()) {
    return failure("one of src or dest must be a local file specification");
  }
  if (from.file.empty() || to.file.empty()) return failure("filepath can not be empty");
  if (from.pod.empty() && to.pod.empty()) {
    return failure("one of src or dest must be a remote file specification");
  }
  TRY_ASSIGN(session, in.session());
  return from.pod.empty() ? copy_to(*session, from, to, flags)
                          : copy_from(*session, from, to, flags);
}

}  // namespace keles::kubectl

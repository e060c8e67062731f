// /logs/: the files below the node's /var/log. Containers may be given that directory to write in,
// so no symbolic link is followed and nothing outside is reached: every path is resolved beneath an
// open descriptor of it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/beneath.h"
#include "base/html.h"
#include "node/server/node_server.h"

namespace keles::node {
namespace {

constexpr size_t kPiece = 65536;

std::string url_of(std::string_view name) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out = "./";
  for (char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    auto u = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out.append("%").append(1, kHex[u >> 4]).append(1, kHex[u & 15]);
    }
  }
  return out;
}

std::string listing(const Fd& dir) {
  auto names = list_directory(dir);
  std::string out =
      "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
  if (!names.ok()) return out + "</pre>\n";
  for (std::string& n : *names) {
    struct stat st {};
    const bool known = ::fstatat(dir.get(), n.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (known && S_ISDIR(st.st_mode)) n += "/";
    out += "<a href=\"" + url_of(n) + "\">" + html_escaped(n) + "</a>\n";
  }
  return out + "</pre>\n";
}

// What `parts` name below `root`; closed when it is not there or the way is not straight.
Fd open_log(const std::string& root, const std::vector<std::string>& parts) {
  std::string below = ".";
  for (const std::string& part : parts) {
    // A NUL would end the path early.
    if (part == ".." || part.find('\0') != std::string::npos) return Fd();
    below += "/" + part;
  }
  auto dir = open_directory(root);
  if (!dir.ok()) return Fd();
  auto fd = open_beneath(*dir, below, O_RDONLY | O_NOCTTY);
  return fd.ok() ? std::move(*fd) : Fd();
}

Task<void> say(net::Responder* responder, int code, std::string type, std::string text) {
  net::Headers h{{"Content-Type", std::move(type)}, {"X-Content-Type-Options", "nosniff"}};
  std::vector<net::SharedBytes> parts = net::as_body(std::move(text));
  (void)co_await responder->respond(code, std::move(h), std::move(parts));
}

// As much as there was when it was opened: a log may grow for ever.
Task<void> send_file(net::Responder* responder, int fd, off_t left) {
  net::Headers h{{"Content-Type", "text/plain; charset=utf-8"},
                 {"X-Content-Type-Options", "nosniff"}};
  Status s = co_await responder->begin(200, std::move(h));
  while (s.ok() && left > 0) {
    std::string piece(std::min(kPiece, static_cast<size_t>(left)), '\0');
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0) break;
    piece.resize(static_cast<size_t>(n));
    left -= n;
    std::vector<net::SharedBytes> parts = net::as_body(std::move(piece));
    s = co_await responder->write(std::move(parts));
  }
  if (s.ok()) (void)co_await responder->finish();
}

}  // namespace

Task<void> serve_logs(net::Request* request, net::Responder* responder, std::string root,
                      std::vector<std::string> path) {
  const std::string plain = "text/plain; charset=utf-8";
  if (request->method != "GET" && request->method != "HEAD") {
    co_await say(responder, 405, plain, "405: Method Not Allowed");
    co_return;
  }
  Fd file = open_log(root, path);
  struct stat st {};
  const bool there = file.open() && ::fstat(file.get(), &st) == 0;
  if (there && S_ISDIR(st.st_mode) && !request->path.ends_with('/')) {
    const std::string name = path.empty() ? "logs" : path.back();
    net::Headers h{{"Location", url_of(name + "/")}};
    std::vector<net::SharedBytes> none;
    (void)co_await responder->respond(301, std::move(h), std::move(none));
  } else if (there && S_ISDIR(st.st_mode)) {
    std::string text = listing(file);
    co_await say(responder, 200, "text/html; charset=utf-8", std::move(text));
  } else if (there && S_ISREG(st.st_mode)) {
    co_await send_file(responder, file.get(), st.st_size);
  } else {
    co_await say(responder, 404, plain, "404 page not found\n");
  }
}

}  // namespace keles::node

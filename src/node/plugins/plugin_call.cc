#include "node/plugins/plugin_call.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "net/grpc.h"

namespace keles::node {

Result<Fd> open_plugin_socket(const std::string& given) {
  std::string path = given;
  if (path.starts_with("unix://")) path = path.substr(7);
  if (!path.starts_with('/'))
    return Status(Reason::kInvalid, "the socket " + given + " is no absolute path");
  Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.open())
    return Status(errno == ENOENT ? Reason::kNotFound : Reason::kUnavailable,
                  "dial unix " + path + ": " + std::strerror(errno));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0 || !S_ISSOCK(st.st_mode))
    return Status(Reason::kInvalid, path + " is not a socket");
  return Result<Fd>(std::move(fd));
}

Task<Result<std::string>> plugin_call(Context ctx, const Fd* socket, std::string method,
                                      std::string message, size_t max_answer) {
  net::Endpoint endpoint;
  endpoint.host = "unix:" + socket->proc_path();
  std::unique_ptr<net::GrpcChannel> channel = net::GrpcChannel::create(ctx.loop(), endpoint);
  auto got = co_await channel->unary(ctx, std::move(method), std::move(message), max_answer);
  co_return got;
}

}  // namespace keles::node

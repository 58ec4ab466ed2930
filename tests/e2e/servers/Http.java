import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Http {
	public static void main(String[] arguments) throws Exception {
		int port = Integer.parseInt(arguments[0]);
		var server = HttpServer.create(new InetSocketAddress(port), 0);
		server.createContext("/", exchange -> {
			var said = (ProcessHandle.current().pid() + "\n").getBytes();
			exchange.sendResponseHeaders(200, said.length);
			exchange.getResponseBody().write(said);
			exchange.close();
		});
		server.start();
	}
}

// An Express app on the port that the platform gives it.
const express = require('express');

const app = express();

app.get('/', (request, response) => {
  response.type('text/plain').send('Hello from node-express\n');
});

const port = process.env.PORT || 8080;
const server = app.listen(port, '0.0.0.0', () => console.log(`listening on ${port}`));

// A new release is up when this comes: answer what is under way, then go.
process.on('SIGTERM', () => server.close(() => process.exit(0)));

import { answer } from './answer.js';

document.getElementById('greeting').append(` (${answer})`);
